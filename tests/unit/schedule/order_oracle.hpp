// Is every pair of conflicting uses ordered? By the transitive closure of the happens-before graph, instead of vector clocks.
// Slow and obvious: what the validator is compared with.
#pragma once

#include "schedule/access.hpp"
#include "schedule/schedule.hpp"

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace zerosim::schedule::test {

/// init, first, steady and steady again, as positions in the program.
inline std::vector<std::size_t> unrolled(const Program& program) {
    std::vector<std::size_t> ops;
    for (std::size_t i = 0; i < program.ops.size(); ++i) ops.push_back(i);
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) ops.push_back(i);
    return ops;
}

/// before[i] = the unrolled ops that are complete when op i starts, as bits.
class HappensBefore {
public:
    explicit HappensBefore(const Program& program) : ops_(unrolled(program)), words_((ops_.size() + 63) / 64), bits_(ops_.size() * words_, 0) {
        std::vector<std::optional<std::size_t>> last_on_stream(program.streams.size()), latest(program.ops.size());
        std::vector<std::size_t> held;   // what host_waits so far have waited for
        for (std::size_t at = 0; at < ops_.size(); ++at) {
            const Op& op = program.ops[ops_[at]];
            if (const auto before = last_on_stream[op.stream.index()]) add(at, *before);
            for (const std::size_t waited : held) add(at, waited);
            for (const OpId dep : program.deps_of(op)) {
                if (!latest[dep.index()]) continue;
                add(at, *latest[dep.index()]);
                if (op.kind == OpKind::host_wait) held.push_back(*latest[dep.index()]);
            }
            last_on_stream[op.stream.index()] = at;
            latest[ops_[at]] = at;
        }
    }
    [[nodiscard]] const std::vector<std::size_t>& ops() const { return ops_; }
    [[nodiscard]] bool before(std::size_t a, std::size_t b) const { return (bits_[b * words_ + a / 64] >> (a % 64) & 1) != 0; }

private:
    void add(std::size_t at, std::size_t earlier) {
        for (std::size_t w = 0; w < words_; ++w) bits_[at * words_ + w] |= bits_[earlier * words_ + w];
        bits_[at * words_ + earlier / 64] |= std::uint64_t{1} << (earlier % 64);
    }
    std::vector<std::size_t> ops_;
    std::size_t words_;
    std::vector<std::uint64_t> bits_;
};

struct ByteUse {
    StorageId storage;
    std::int64_t begin, end;
    bool writes;
};

/// Alloc and free use the whole storage.
inline std::vector<ByteUse> uses_of(const Schedule& schedule, const Program& program, const Op& op, std::int64_t rank) {
    if (op.kind == OpKind::alloc || op.kind == OpKind::free) return {{op.storage, 0, program.storage(op.storage).bytes, true}};
    std::vector<OperandAccess> operands;
    accesses(program, op, operands);
    std::vector<ByteUse> uses;
    for (const OperandAccess& access : operands) {
        const Tensor& tensor = program.tensor(access.tensor);
        const std::int64_t begin = tensor.offset.at(schedule.coordinate(tensor.offset, rank));
        uses.push_back({tensor.storage, begin, begin + tensor.extent_bytes(), access.writes});
    }
    return uses;
}

inline bool conflict(const std::vector<ByteUse>& a, const std::vector<ByteUse>& b) {
    for (const ByteUse& x : a)
        for (const ByteUse& y : b)
            if (x.storage == y.storage && (x.writes || y.writes) && x.begin < y.end && y.begin < x.end) return true;
    return false;
}

/// The first pair of ops (positions in the program) that use the same bytes, one of them writing, in no order.
inline std::optional<std::pair<std::size_t, std::size_t>> first_race(const Schedule& schedule, const Program& program, std::int64_t rank) {
    const HappensBefore order(program);
    std::vector<std::vector<ByteUse>> uses;
    for (const std::size_t op : order.ops()) uses.push_back(uses_of(schedule, program, program.ops[op], rank));
    std::vector<std::vector<std::size_t>> by_storage(program.storages.size());
    for (std::size_t b = 0; b < uses.size(); ++b) {
        for (const ByteUse& use : uses[b])
            for (const std::size_t a : by_storage[use.storage.index()])
                if (!order.before(a, b) && a != b && conflict(uses[a], uses[b])) return std::pair{order.ops()[a], order.ops()[b]};
        for (const ByteUse& use : uses[b]) by_storage[use.storage.index()].push_back(b);
    }
    return std::nullopt;
}

}  // namespace zerosim::schedule::test
