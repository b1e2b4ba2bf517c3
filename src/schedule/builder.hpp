// ScheduleBuilder: how planners write a Program: declare streams, pools, storages, tensors; emit ops in issue order.
// Called by strategy/ and by tests. Keeps the bookkeeping (names, operand lists, deps) out of planners.
// Does not decide anything and does not validate: see validate.hpp.
#pragma once

#include "schedule/schedule.hpp"

#include <array>
#include <initializer_list>
#include <span>
#include <string_view>

namespace zerosim::schedule {

class ProgramBuilder {
public:
    explicit ProgramBuilder(Schedule& schedule) : schedule_(schedule) {}

    StreamId stream(std::string_view name, StreamKind kind);
    PoolId pool(std::string_view name, StreamId owner);
    StorageId storage(NameId name, std::int64_t bytes, PoolId pool, Role role, int layer = -1);
    StorageId storage(std::string_view name, std::int64_t bytes, PoolId pool, Role role, int layer = -1) { return storage(intern(name), bytes, pool, role, layer); }
    /// A rank's shard of a padded unit: payload of coordinate c is clamp(total - c*bytes, 0, bytes).
    StorageId shard_storage(std::string_view name, std::int64_t bytes, std::int64_t total_bytes, PoolId pool, Role role, int layer = -1);
    /// A contiguous [rows, columns] view at `offset` bytes.
    TensorId tensor(NameId name, StorageId storage, DType dtype, std::int64_t rows, std::int64_t columns, Linear offset = {});
    TensorId tensor(std::string_view name, StorageId storage, DType dtype, std::int64_t rows, std::int64_t columns, Linear offset = {}) {
        return tensor(intern(name), storage, dtype, rows, columns, offset);
    }
    TensorId tensor(const Tensor& tensor);
    Tensor& at(TensorId id) { return program_.tensors[id.index()]; }
    Storage& at(StorageId id) { return program_.storages[id.index()]; }
    [[nodiscard]] std::string_view name_of(TensorId id) const { return schedule_.names[program_.tensors[id.index()].name]; }
    NameId intern(std::string_view text) { return schedule_.names.intern(text); }
    /// `text` as the schedule holds it: one place in memory however often it is named.
    std::string_view interned(std::string_view text) { return schedule_.names[intern(text)]; }
    LayoutId layout(FlatLayout layout) {
        schedule_.layouts.push_back(std::move(layout));
        return LayoutId{schedule_.layouts.size() - 1};
    }
    FlatLayout& at(LayoutId id) { return schedule_.layouts[id.index()]; }
    /// A parameter beyond the model's own (an adapter); returns its index.
    int parameter(std::string_view name) {
        // Programs after the first find those that it has added.
        for (std::size_t i = 0; !schedule_.programs.empty() && i < schedule_.parameters.size(); ++i)
            if (schedule_.parameters[i] == name) return static_cast<int>(i);
        schedule_.parameters.emplace_back(name);
        return static_cast<int>(schedule_.parameters.size()) - 1;
    }

    /// Tags, given to every op emitted from now on.
    Tags tags;

    /// Room for about so many ops, and the storages and tensors that come with them: pages that stay unused cost nothing.
    void reserve(std::size_t ops);
    void begin_first() {
        program_.first_begin = program_.steady_begin = program_.ops.size();
        forget_streams();
    }
    void begin_steady() {
        program_.steady_begin = program_.ops.size();
        forget_streams();
    }

    OpId alloc(StorageId storage, std::span<const OpId> deps = {});
    OpId free(StorageId storage, std::span<const OpId> deps = {});
    /// Freed while other streams still use it (record_stream): the block comes back when `uses` are done; no stream waits for them.
    OpId free_recorded(StorageId storage, std::span<const OpId> uses);
    OpId fill(StreamId stream, TensorId destination, double value, std::span<const OpId> deps = {}) { return fill_all(stream, {&destination, 1}, value, deps); }
    /// Several tensors at once.
    OpId fill_all(StreamId stream, std::span<const TensorId> destinations, double value, std::span<const OpId> deps = {});
    /// A multi-tensor kernel: groups of operands, each with its range (none = a kernel that needs none).
    OpId multi_tensor(StreamId stream, OpKind kind, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                      const kernel::Attributes& attributes, std::span<const ShardRange> ranges, std::span<const OpId> deps = {});
    OpId copy(StreamId stream, TensorId source, TensorId destination, bool accumulate = false, std::span<const OpId> deps = {});
    /// One launch of several copies: source, destination [, source, destination ...].
    OpId copy_all(StreamId stream, std::span<const TensorId> pairs, std::span<const OpId> deps = {});
    OpId input(StreamId stream, TensorId tokens, TensorId targets, std::span<const OpId> deps = {});
    OpId initialize(StreamId stream, TensorId parameter, TensorId master, ShardRange range);
    OpId compute(StreamId stream, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                 const kernel::Attributes& attributes, std::span<const OpId> deps = {});
    OpId ranged(StreamId stream, OpKind kind, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                const kernel::Attributes& attributes, ShardRange range, std::span<const OpId> deps = {});
    /// A kernel (adamw) that the host's processors run on operands in host memory. It runs on its stream, of kind host; where the issuing
    /// thread does the work itself, a host_wait for it follows.
    OpId host_compute(StreamId stream, std::string_view name, kernel::Kernel kernel, std::span<const TensorId> operands,
                      const kernel::Attributes& attributes, std::span<const OpId> deps = {});
    OpId collective(StreamId stream, std::string_view name, const Collective& collective, std::span<const OpId> deps = {});
    OpId host_wait(StreamId stream, std::span<const OpId> deps);
    OpId mark(StreamId stream, std::string_view name, std::span<const OpId> deps = {});

    [[nodiscard]] std::size_t size() const { return program_.ops.size(); }
    [[nodiscard]] std::size_t streams() const { return program_.streams.size(); }
    /// CUDA's event ordering. `stream`'s next op (host waits aside) starts after `event`; invalid events are done.
    void wait_event(StreamId stream, OpId event);
    /// ... after all that has been issued on `other` so far [Stream.wait_stream].
    void wait_stream(StreamId stream, StreamId other) { wait_event(stream, last(other)); }
    /// The last op issued on a stream in this segment; invalid if there is none. As a dep or event: what record_event names.
    [[nodiscard]] OpId last(StreamId stream) const { return stream.index() < last_.size() ? last_[stream.index()] : OpId{}; }
    /// Moves the program into the schedule and returns its index.
    std::uint32_t finish();

private:
    /// The next op, whose further fields the caller sets.
    Op& emit(OpKind kind, StreamId stream, std::span<const TensorId> operands, std::span<const OpId> deps);
    [[nodiscard]] OpId newest() const { return OpId{program_.ops.size() - 1}; }
    [[nodiscard]] StreamId owner_of(StorageId id) const { return program_.pools[program_.storage(id).pool.index()].owner; }
    /// Events of an earlier segment are done: each segment ends with a host wait.
    void forget_streams() {
        last_.clear();
        waits_.clear();
    }
    Schedule& schedule_;
    Program program_;
    [[nodiscard]] std::uint32_t keep(kernel::Kernel kernel, const kernel::Attributes& attributes);
    /// Attributes met lately, by kernel and size: the blocks of a model repeat theirs.
    std::array<std::uint32_t, 256> recent_{};
    std::vector<OpId> last_;                 // by stream
    std::vector<std::vector<OpId>> waits_;   // by stream: events that its next op waits for
};

}  // namespace zerosim::schedule
