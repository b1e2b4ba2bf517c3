#include "schedule/builder.hpp"

#include "base/error.hpp"

#include <limits>
#include <new>
#include <utility>

namespace zerosim::schedule {
namespace {

/// Programs of one schedule are nearly as long as each other: room for one like `before`, and not the double of it.
void make_room(Program& program, const Program& before) {
    const auto like = [](auto& vector, const auto& other) { vector.reserve(other.size() + other.size() / 64 + 16); };
    like(program.storages, before.storages);
    like(program.tensors, before.tensors);
    like(program.ops, before.ops);
    like(program.operands, before.operands);
    like(program.deps, before.deps);
    like(program.ranges, before.ranges);
}

}  // namespace

StreamId ProgramBuilder::stream(std::string_view name, StreamKind kind) {
    if (program_.streams.empty() && !schedule_.programs.empty()) make_room(program_, schedule_.programs.back());
    program_.streams.push_back({intern(name), kind});
    return StreamId{program_.streams.size() - 1};
}

PoolId ProgramBuilder::pool(std::string_view name, StreamId owner) {
    program_.pools.push_back({intern(name), owner});
    return PoolId{program_.pools.size() - 1};
}

StorageId ProgramBuilder::storage(NameId name, std::int64_t bytes, PoolId pool, Role role, int layer) {
    Storage& storage = program_.storages.emplace_back();
    storage.bytes = bytes;
    storage.pool = pool;
    storage.role = role;
    storage.name = name;
    storage.layer = static_cast<std::int16_t>(layer);
    storage.payload_total = bytes;
    return StorageId{program_.storages.size() - 1};
}

StorageId ProgramBuilder::shard_storage(std::string_view name, std::int64_t bytes, std::int64_t total_bytes, PoolId pool, Role role,
                                        int layer) {
    const StorageId id = storage(name, bytes, pool, role, layer);
    program_.storages.back().payload_total = total_bytes;
    program_.storages.back().payload_slope = bytes;
    return id;
}

TensorId ProgramBuilder::tensor(NameId name, StorageId storage, DType dtype, std::int64_t rows, std::int64_t columns, Linear offset) {
    const Storage& owner = program_.storage(storage);
    Tensor& tensor = program_.tensors.emplace_back();
    tensor.storage = storage;
    tensor.offset = offset;
    tensor.rows = rows;
    tensor.columns = tensor.row_stride = columns;
    tensor.dtype = dtype;
    tensor.role = owner.role;
    tensor.name = name;
    tensor.layer = owner.layer;
    return TensorId{program_.tensors.size() - 1};
}

TensorId ProgramBuilder::tensor(const Tensor& tensor) {
    program_.tensors.push_back(tensor);
    return TensorId{program_.tensors.size() - 1};
}

Op& ProgramBuilder::emit(OpKind kind, StreamId stream, std::span<const TensorId> operands, std::span<const OpId> deps) {
    check(deps.size() <= std::numeric_limits<std::uint16_t>::max(), "too many deps for one op");
    Op& op = program_.ops.emplace_back();
    op.kind = kind;
    op.stream = stream;
    op.tags = tags;
    op.operands_begin = static_cast<std::uint32_t>(program_.operands.size());
    op.operands_count = static_cast<std::uint32_t>(operands.size());
    for (const TensorId operand : operands) program_.operands.push_back(operand);
    op.deps_begin = static_cast<std::uint32_t>(program_.deps.size());
    // Invalid deps (work that never came to be) are dropped here, so planners need not ask.
    for (const OpId dep : deps)
        if (dep.valid()) program_.deps.push_back(dep);
    if (stream.index() < waits_.size() && kind != OpKind::host_wait) {
        auto& waits = waits_[stream.index()];
        program_.deps.insert(program_.deps.end(), waits.begin(), waits.end());
        waits.clear();
    }
    op.deps_count = static_cast<std::uint16_t>(program_.deps.size() - op.deps_begin);
    if (last_.size() <= stream.index()) last_.resize(stream.index() + 1);
    last_[stream.index()] = newest();
    return op;
}

OpId ProgramBuilder::alloc(StorageId storage, std::span<const OpId> deps) {
    emit(OpKind::alloc, owner_of(storage), {}, deps).storage = storage;
    return newest();
}

OpId ProgramBuilder::free(StorageId storage, std::span<const OpId> deps) {
    emit(OpKind::free, owner_of(storage), {}, deps).storage = storage;
    return newest();
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
    if (program_.values.empty() || program_.values.back() != value) program_.values.push_back(value);
    emit(OpKind::fill, stream, destinations, deps).detail = static_cast<std::uint32_t>(program_.values.size() - 1);
    return newest();
}

OpId ProgramBuilder::copy(StreamId stream, TensorId source, TensorId destination, bool accumulate, std::span<const OpId> deps) {
    const TensorId operands[] = {source, destination};
    emit(OpKind::copy, stream, operands, deps).accumulate = accumulate;
    return newest();
}

OpId ProgramBuilder::copy_all(StreamId stream, std::span<const TensorId> pairs, std::span<const OpId> deps) {
    emit(OpKind::copy, stream, pairs, deps);
    return newest();
}

OpId ProgramBuilder::input(StreamId stream, TensorId tokens, TensorId targets, std::span<const OpId> deps) {
    const TensorId operands[] = {tokens, targets};
    emit(OpKind::input, stream, operands, deps);
    return newest();
}

OpId ProgramBuilder::initialize(StreamId stream, TensorId parameter, TensorId master, ShardRange range) {
    const TensorId operands[] = {parameter, master};
    emit(OpKind::initialize, stream, operands, {}).range = static_cast<std::uint32_t>(program_.ranges.size());
    program_.ranges.push_back(range);
    return newest();
}

OpId ProgramBuilder::compute(StreamId stream, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                             const kernel::Attributes& attributes, std::span<const OpId> deps) {
    Op& op = emit(OpKind::compute, stream, operands, deps);
    op.kernel = kernel;
    op.name = intern(name);
    op.detail = keep(kernel, attributes);
    return newest();
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
    // Taken in one piece and given back: from then on glibc keeps up to twice as much freed memory (mallopt(3), M_MMAP_THRESHOLD: the
    // thresholds follow the largest piece). Else each plan of a search would get its pages from the kernel again, at a third of its time.
    const std::size_t each = sizeof(Op) + sizeof(TensorId) * 3 / 2 + sizeof(OpId) * 2 / 5 + sizeof(Storage) * 2 / 5 + sizeof(Tensor) * 2 / 3;
    void* const volatile once = ::operator new(ops * each);
    ::operator delete(once);
    program_.ops.reserve(ops);
    program_.operands.reserve(ops * 3 / 2);
    program_.deps.reserve(ops * 2 / 5);
    program_.storages.reserve(ops * 2 / 5);
    program_.tensors.reserve(ops * 2 / 3);
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
    const TensorId operands[] = {collective.send, collective.receive, collective.scratch};
    Op& op = emit(OpKind::collective, stream, operands, deps);
    op.name = intern(name);
    op.detail = static_cast<std::uint32_t>(program_.collectives.size());
    program_.collectives.push_back(collective);
    return newest();
}

OpId ProgramBuilder::host_wait(StreamId stream, std::span<const OpId> deps) {
    emit(OpKind::host_wait, stream, {}, deps);
    return newest();
}

OpId ProgramBuilder::mark(StreamId stream, std::string_view name, std::span<const OpId> deps) {
    emit(OpKind::mark, stream, {}, deps).name = intern(name);
    return newest();
}

std::uint32_t ProgramBuilder::finish() {
    schedule_.programs.push_back(std::exchange(program_, {}));
    return static_cast<std::uint32_t>(schedule_.programs.size() - 1);
}

}  // namespace zerosim::schedule
