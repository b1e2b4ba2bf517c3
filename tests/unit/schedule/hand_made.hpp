// Schedules written by hand for the validator's tests: one pool, three streams, fills and copies of slices of a storage.
#pragma once

#include "schedule/builder.hpp"
#include "schedule/validate.hpp"

#include <string>
#include <vector>

namespace zerosim::schedule::test {

/// One program under construction. Bytes are elements: every tensor is uint8.
struct HandMade {
    explicit HandMade(Schedule& owner) : schedule(owner), builder(owner) {
        compute = builder.stream("compute", StreamKind::compute);
        gather = builder.stream("gather", StreamKind::communication);
        reduce = builder.stream("reduce", StreamKind::communication);
        pool = builder.pool("pool", compute);
    }
    StorageId storage(const std::string& name, std::int64_t bytes) { return builder.storage(name, bytes, pool, Role::workspace); }
    TensorId slice(StorageId of, std::int64_t begin, std::int64_t bytes, DType dtype = DType::uint8) {
        return builder.tensor("slice", of, dtype, 1, bytes / size_of(dtype), {begin, 0, {}});
    }
    OpId fill(StreamId stream, TensorId to, std::vector<OpId> deps = {}) { return builder.fill(stream, to, 0, deps); }
    OpId copy(StreamId stream, TensorId from, TensorId to, std::vector<OpId> deps = {}) { return builder.copy(stream, from, to, false, deps); }
    OpId all_reduce(StreamId stream, AxisId axis, TensorId buffer, std::vector<OpId> deps = {}) {
        Collective c;
        c.kind = CollectiveKind::all_reduce;
        c.reduction = Reduction::sum;
        c.axis = axis;
        c.send = c.receive = buffer;
        return builder.collective(stream, "sum", c, deps);
    }
    /// Everything is one init segment.
    void finish() {
        builder.begin_first();
        builder.finish();
    }

    Schedule& schedule;
    ProgramBuilder builder;
    StreamId compute, gather, reduce;
    PoolId pool;
};

inline AxisId add_axis(Schedule& schedule, std::int64_t size, std::int64_t stride) {
    schedule.axes.push_back({schedule.names.intern("axis" + std::to_string(schedule.axes.size())), size, stride});
    return AxisId{schedule.axes.size() - 1};
}

/// One rank a program.
inline void one_rank_each(Schedule& schedule) {
    schedule.ranks = static_cast<std::int64_t>(schedule.programs.size());
    schedule.roles.clear();
    for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) schedule.roles.push_back({static_cast<std::uint32_t>(rank), rank, 1});
}

inline std::string all_text(const std::vector<Violation>& violations) {
    std::string text;
    for (const Violation& v : violations) text += "rank " + std::to_string(v.rank) + ", op " + std::to_string(v.op.value) + ": " + v.what + "\n";
    return text;
}

}  // namespace zerosim::schedule::test
