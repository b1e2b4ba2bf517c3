// ScheduleBuilder: how planners write a Program: declare streams, pools, storages, tensors; emit ops in issue order.
// Called by strategy/ and by tests. Keeps the bookkeeping (names, operand lists, deps) out of planners.
// Does not decide anything and does not validate: see validate.hpp.
#pragma once

#include "schedule/schedule.hpp"

#include <initializer_list>
#include <span>
#include <string_view>

namespace zerosim::schedule {

class ProgramBuilder {
public:
    explicit ProgramBuilder(Schedule& schedule) : schedule_(schedule) {}

    StreamId stream(std::string_view name, StreamKind kind);
    PoolId pool(std::string_view name, StreamId owner);
    StorageId storage(std::string_view name, std::int64_t bytes, PoolId pool, Role role, int layer = -1);
    /// A rank's shard of a padded unit: payload of coordinate c is clamp(total - c*bytes, 0, bytes).
    StorageId shard_storage(std::string_view name, std::int64_t bytes, std::int64_t total_bytes, PoolId pool, Role role, int layer = -1);
    /// A contiguous [rows, columns] view at `offset` bytes.
    TensorId tensor(std::string_view name, StorageId storage, DType dtype, std::int64_t rows, std::int64_t columns, Linear offset = {});
    TensorId tensor(Tensor tensor);
    Tensor& at(TensorId id) { return program_.tensors[id.index()]; }
    Storage& at(StorageId id) { return program_.storages[id.index()]; }
    [[nodiscard]] std::string_view name_of(TensorId id) const { return schedule_.names[program_.tensors[id.index()].name]; }
    NameId intern(std::string_view text) { return schedule_.names.intern(text); }

    /// Tags, given to every op emitted from now on.
    Tags tags;

    void begin_first() { program_.first_begin = program_.steady_begin = program_.ops.size(); }
    void begin_steady() { program_.steady_begin = program_.ops.size(); }

    OpId alloc(StorageId storage, std::span<const OpId> deps = {});
    OpId free(StorageId storage, std::span<const OpId> deps = {});
    OpId fill(StreamId stream, TensorId destination, double value, std::span<const OpId> deps = {});
    OpId copy(StreamId stream, TensorId source, TensorId destination, bool accumulate = false, std::span<const OpId> deps = {});
    /// One launch of several copies: source, destination [, source, destination ...].
    OpId copy_all(StreamId stream, std::span<const TensorId> pairs, std::span<const OpId> deps = {});
    OpId input(StreamId stream, TensorId tokens, TensorId targets, std::span<const OpId> deps = {});
    OpId initialize(StreamId stream, TensorId parameter, TensorId master, ShardRange range);
    OpId compute(StreamId stream, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                 const kernel::Attributes& attributes, std::span<const OpId> deps = {});
    OpId ranged(StreamId stream, OpKind kind, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                const kernel::Attributes& attributes, ShardRange range, std::span<const OpId> deps = {});
    OpId collective(StreamId stream, std::string_view name, const Collective& collective, std::span<const OpId> deps = {});
    OpId host_wait(StreamId stream, std::span<const OpId> deps);
    OpId mark(StreamId stream, std::string_view name, std::span<const OpId> deps = {});

    [[nodiscard]] std::size_t size() const { return program_.ops.size(); }
    /// Moves the program into the schedule and returns its index.
    std::uint32_t finish();

private:
    OpId emit(Op op, std::span<const TensorId> operands, std::span<const OpId> deps);
    Schedule& schedule_;
    Program program_;
};

}  // namespace zerosim::schedule
