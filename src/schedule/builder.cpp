#include "schedule/builder.hpp"

#include "base/error.hpp"

#include <limits>
#include <utility>

namespace zerosim::schedule {

StreamId ProgramBuilder::stream(std::string_view name, StreamKind kind) {
    program_.streams.push_back({intern(name), kind});
    return StreamId{program_.streams.size() - 1};
}

PoolId ProgramBuilder::pool(std::string_view name, StreamId owner) {
    program_.pools.push_back({intern(name), owner});
    return PoolId{program_.pools.size() - 1};
}

StorageId ProgramBuilder::storage(std::string_view name, std::int64_t bytes, PoolId pool, Role role, int layer) {
    const StorageId id = shard_storage(name, bytes, bytes, pool, role, layer);
    program_.storages.back().payload_slope = 0;
    return id;
}

StorageId ProgramBuilder::shard_storage(std::string_view name, std::int64_t bytes, std::int64_t total_bytes, PoolId pool, Role role,
                                        int layer) {
    Storage storage;
    storage.bytes = bytes;
    storage.pool = pool;
    storage.role = role;
    storage.name = intern(name);
    storage.layer = static_cast<std::int16_t>(layer);
    storage.payload_total = total_bytes;
    storage.payload_slope = bytes;
    program_.storages.push_back(storage);
    return StorageId{program_.storages.size() - 1};
}

TensorId ProgramBuilder::tensor(std::string_view name, StorageId storage, DType dtype, std::int64_t rows, std::int64_t columns,
                                Linear offset) {
    const Storage& owner = program_.storage(storage);
    Tensor tensor;
    tensor.storage = storage;
    tensor.offset = offset;
    tensor.rows = rows;
    tensor.columns = tensor.row_stride = columns;
    tensor.dtype = dtype;
    tensor.role = owner.role;
    tensor.name = intern(name);
    tensor.layer = owner.layer;
    return this->tensor(tensor);
}

TensorId ProgramBuilder::tensor(Tensor tensor) {
    program_.tensors.push_back(tensor);
    return TensorId{program_.tensors.size() - 1};
}

OpId ProgramBuilder::emit(Op op, std::span<const TensorId> operands, std::span<const OpId> deps) {
    check(deps.size() <= std::numeric_limits<std::uint16_t>::max(), "too many deps for one op");
    op.tags = tags;
    op.operands_begin = static_cast<std::uint32_t>(program_.operands.size());
    op.operands_count = static_cast<std::uint32_t>(operands.size());
    program_.operands.insert(program_.operands.end(), operands.begin(), operands.end());
    op.deps_begin = static_cast<std::uint32_t>(program_.deps.size());
    // Invalid deps (work that never came to be) are dropped here, so planners need not ask.
    for (const OpId dep : deps)
        if (dep.valid()) program_.deps.push_back(dep);
    if (op.stream.index() < waits_.size() && op.kind != OpKind::host_wait) {
        auto& waits = waits_[op.stream.index()];
        program_.deps.insert(program_.deps.end(), waits.begin(), waits.end());
        waits.clear();
    }
    op.deps_count = static_cast<std::uint16_t>(program_.deps.size() - op.deps_begin);
    program_.ops.push_back(op);
    if (last_.size() <= op.stream.index()) last_.resize(op.stream.index() + 1);
    return last_[op.stream.index()] = OpId{program_.ops.size() - 1};
}

OpId ProgramBuilder::alloc(StorageId storage, std::span<const OpId> deps) {
    Op op;
    op.kind = OpKind::alloc;
    op.storage = storage;
    op.stream = program_.pools[program_.storage(storage).pool.index()].owner;
    return emit(op, {}, deps);
}

OpId ProgramBuilder::free(StorageId storage, std::span<const OpId> deps) {
    Op op;
    op.kind = OpKind::free;
    op.storage = storage;
    op.stream = program_.pools[program_.storage(storage).pool.index()].owner;
    return emit(op, {}, deps);
}

OpId ProgramBuilder::free_recorded(StorageId storage, std::span<const OpId> uses) {
    const OpId id = free(storage, uses);
    program_.ops.back().recorded = true;
    return id;
}

void ProgramBuilder::wait_event(StreamId stream, OpId event) {
    if (!event.valid() || program_.op(event).stream == stream) return;
    if (waits_.size() <= stream.index()) waits_.resize(stream.index() + 1);
    waits_[stream.index()].push_back(event);
}

OpId ProgramBuilder::fill_all(StreamId stream, std::span<const TensorId> destinations, double value, std::span<const OpId> deps) {
    Op op;
    op.kind = OpKind::fill;
    op.stream = stream;
    op.value = value;
    return emit(op, destinations, deps);
}

OpId ProgramBuilder::copy(StreamId stream, TensorId source, TensorId destination, bool accumulate, std::span<const OpId> deps) {
    Op op;
    op.kind = OpKind::copy;
    op.stream = stream;
    op.accumulate = accumulate;
    const TensorId operands[] = {source, destination};
    return emit(op, operands, deps);
}

OpId ProgramBuilder::copy_all(StreamId stream, std::span<const TensorId> pairs, std::span<const OpId> deps) {
    Op op;
    op.kind = OpKind::copy;
    op.stream = stream;
    return emit(op, pairs, deps);
}

OpId ProgramBuilder::input(StreamId stream, TensorId tokens, TensorId targets, std::span<const OpId> deps) {
    Op op;
    op.kind = OpKind::input;
    op.stream = stream;
    const TensorId operands[] = {tokens, targets};
    return emit(op, operands, deps);
}

OpId ProgramBuilder::initialize(StreamId stream, TensorId parameter, TensorId master, ShardRange range) {
    Op op;
    op.kind = OpKind::initialize;
    op.stream = stream;
    op.range = static_cast<std::uint32_t>(program_.ranges.size());
    program_.ranges.push_back(range);
    const TensorId operands[] = {parameter, master};
    return emit(op, operands, {});
}

OpId ProgramBuilder::compute(StreamId stream, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                             const kernel::Attributes& attributes, std::span<const OpId> deps) {
    Op op;
    op.kind = OpKind::compute;
    op.kernel = kernel;
    op.stream = stream;
    op.name = intern(name);
    op.attributes = keep(kernel, attributes);
    return emit(op, operands, deps);
}

std::uint32_t ProgramBuilder::keep(kernel::Kernel kernel, const kernel::Attributes& a) {
    const auto mix = static_cast<std::uint64_t>(kernel) * 31 + static_cast<std::uint64_t>(a.operation) * 17 + static_cast<std::uint64_t>(a.in) * 7 +
                     static_cast<std::uint64_t>(a.out) * 3 + static_cast<std::uint64_t>(a.tokens);
    std::uint32_t& recent = recent_[(mix * 0x9e3779b97f4a7c15ull) >> 56];
    if (recent < program_.attributes.size() && program_.attributes[recent] == a) return recent;
    program_.attributes.push_back(a);
    return recent = static_cast<std::uint32_t>(program_.attributes.size() - 1);
}

void ProgramBuilder::reserve(std::size_t ops) {
    program_.ops.reserve(ops);
    program_.operands.reserve(ops);
    program_.deps.reserve(ops / 8);
    program_.storages.reserve(ops / 2);
    program_.tensors.reserve(ops / 2);
}

OpId ProgramBuilder::host_compute(StreamId stream, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                                  const kernel::Attributes& attributes, std::span<const OpId> deps) {
    const OpId id = compute(stream, name, kernel, operands, attributes, deps);
    program_.ops.back().kind = OpKind::host_compute;
    return id;
}

OpId ProgramBuilder::ranged(StreamId stream, OpKind kind, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                            const kernel::Attributes& attributes, ShardRange range, std::span<const OpId> deps) {
    const OpId id = compute(stream, name, kernel, operands, attributes, deps);
    Op& op = program_.ops.back();
    op.kind = kind;
    op.range = static_cast<std::uint32_t>(program_.ranges.size());
    program_.ranges.push_back(range);
    return id;
}

OpId ProgramBuilder::multi_tensor(StreamId stream, OpKind kind, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                                  const kernel::Attributes& attributes, std::span<const ShardRange> ranges, std::span<const OpId> deps) {
    const OpId id = compute(stream, name, kernel, operands, attributes, deps);
    Op& op = program_.ops.back();
    op.kind = kind;
    if (!ranges.empty()) op.range = static_cast<std::uint32_t>(program_.ranges.size());
    program_.ranges.insert(program_.ranges.end(), ranges.begin(), ranges.end());
    return id;
}

OpId ProgramBuilder::collective(StreamId stream, std::string_view name, const Collective& collective, std::span<const OpId> deps) {
    Op op;
    op.kind = OpKind::collective;
    op.stream = stream;
    op.name = intern(name);
    op.collective = static_cast<std::uint32_t>(program_.collectives.size());
    program_.collectives.push_back(collective);
    const TensorId operands[] = {collective.send, collective.receive, collective.scratch};
    return emit(op, operands, deps);
}

OpId ProgramBuilder::host_wait(StreamId stream, std::span<const OpId> deps) {
    Op op;
    op.kind = OpKind::host_wait;
    op.stream = stream;
    return emit(op, {}, deps);
}

OpId ProgramBuilder::mark(StreamId stream, std::string_view name, std::span<const OpId> deps) {
    Op op;
    op.kind = OpKind::mark;
    op.stream = stream;
    op.name = intern(name);
    return emit(op, {}, deps);
}

std::uint32_t ProgramBuilder::finish() {
    schedule_.programs.push_back(std::exchange(program_, {}));
    return static_cast<std::uint32_t>(schedule_.programs.size() - 1);
}

}  // namespace zerosim::schedule
