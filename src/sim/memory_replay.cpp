#include "sim/memory_replay.hpp"

#include "base/error.hpp"
#include "sim/caching_allocator.hpp"

#include <algorithm>
#include <bit>

namespace zerosim::sim {
namespace {

using schedule::Op;
using schedule::OpKind;
using schedule::Phase;
using schedule::Program;

bool is_launch(const Op& op) {
    return op.kind == OpKind::compute || op.kind == OpKind::copy || op.kind == OpKind::fill || op.kind == OpKind::collective || op.kind == OpKind::optimizer;
}

class Replay {
public:
    Replay(const Program& program, const AllocatorSettings& settings, const trace::RankTrace* times)
        : program_(program), times_(times), allocator_(program.streams.size(), settings), blocks_(program.storages.size(), CachingAllocator::kNone),
          stream_ends_(program.streams.size(), 0), launches_(program.streams.size()), launched_(program.streams.size(), 0) {
        if (times == nullptr) return;
        for (const trace::OpTime& time : times->times)
            if (const Op& op = program.ops[time.op]; is_launch(op)) launches_[op.stream.index()].push_back(time.issue);
    }

    [[nodiscard]] std::int64_t allocated() const { return allocator_.counters().allocated; }
    [[nodiscard]] const CachingAllocator::Counters& counters() const { return allocator_.counters(); }

    [[nodiscard]] const std::optional<OutOfMemory>& out_of_memory() const { return allocator_.out_of_memory(); }

    void run(const Op& op) {
        look_up(op);
        if (op.kind != OpKind::alloc && op.kind != OpKind::free) return;
        const schedule::Storage& storage = program_.storage(op.storage);
        if (storage.space != schedule::Space::device) return count_host(storage, op.kind == OpKind::alloc);
        CachingAllocator::Block& block = blocks_[op.storage.index()];
        if (op.kind == OpKind::alloc) {
            block = allocator_.allocate(program_.pools[storage.pool.index()].owner.index(), storage.bytes, now_);
        } else {
            free(op, block);
            block = CachingAllocator::kNone;
        }
    }

    /// Runs a segment and returns the highest bytes allocated in it, what was held at its start included.
    std::int64_t run(schedule::Segment segment) {
        const auto [begin, end] = program_.bounds(segment);
        std::int64_t peak = allocated();
        for (std::size_t i = begin; i < end; ++i) {
            run(program_.ops[i]);
            peak = std::max(peak, allocated());
        }
        return peak;
    }

    std::int64_t host_peak = 0, pinned_peak = 0;

private:
    /// The op's row of the simulation: when the host issued it and when it ended.
    void look_up(const Op& op) {
        if (times_ == nullptr || row_ >= times_->times.size()) return;
        const trace::OpTime& time = times_->times[row_];
        now_ = time.issue;
        if (&program_.ops[time.op] != &op) return;   // its row was not kept: it took no time, so the next one's is issued then
        ++row_;
        if (is_launch(op)) ++launched_[op.stream.index()];
        std::int64_t& end = stream_ends_[op.stream.index()];
        end = std::max(end, time.end);
    }

    /// [insert_events] When recorded memory is freed, events follow all that its streams have been given so far.
    void free(const Op& op, CachingAllocator::Block block) {
        if (!op.recorded || times_ == nullptr) return allocator_.free(block);
        std::int64_t done = 0;
        for (const OpId use : program_.deps_of(op)) done = std::max(done, done_at(program_.op(use).stream.index()));
        allocator_.free_later(block, done);
    }

    /// When all that a stream has been given is done. Launches fill a stream's queue: the host waits with the next until the first of about a
    /// thousand is done (measured, stackoverflow.com/q/53970187), so what it does in the queue's last place comes after all before are done.
    [[nodiscard]] std::int64_t done_at(std::size_t stream) const {
        constexpr std::size_t kQueue = 1000;
        const std::size_t full = launched_[stream] + kQueue - 1;
        const auto& issued = launches_[stream];
        return full < issued.size() ? std::min(stream_ends_[stream], issued[full]) : stream_ends_[stream];
    }

    /// CUDA's CachingHostAllocator rounds a pinned block up to a power of two.
    void count_host(const schedule::Storage& storage, bool allocated) {
        if (storage.space == schedule::Space::nvme) return;
        const bool pinned = storage.space == schedule::Space::pinned;
        const std::int64_t bytes = pinned ? static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(storage.bytes))) : storage.bytes;
        host_ += allocated ? bytes : -bytes;
        if (pinned) pinned_ += allocated ? bytes : -bytes;
        host_peak = std::max(host_peak, host_);
        pinned_peak = std::max(pinned_peak, pinned_);
    }

    std::int64_t host_ = 0, pinned_ = 0;
    const Program& program_;
    const trace::RankTrace* times_;
    std::size_t row_ = 0;
    std::int64_t now_ = 0;
    CachingAllocator allocator_;
    std::vector<CachingAllocator::Block> blocks_;   // by storage
    std::vector<std::int64_t> stream_ends_;         // of what was issued so far
    std::vector<std::vector<std::int64_t>> launches_;   // by stream: when each launch is issued
    std::vector<std::size_t> launched_;             // by stream: of these, so far
};

void measured_step(Replay& replay, const Program& program, MemoryReplay& result) {
    const auto [begin, end] = program.bounds(schedule::Segment::steady);
    for (std::size_t i = begin; i < end; ++i) {
        const Op& op = program.ops[i];
        // What was held when the phase began counts for it.
        const std::int64_t before = replay.allocated();
        replay.run(op);
        const std::int64_t now = std::max(before, replay.allocated());
        switch (op.tags.phase) {
            case Phase::init: break;
            case Phase::forward:
                result.forward_peak = std::max(result.forward_peak, now);
                result.after_forward = replay.allocated();
                break;
            case Phase::backward:
                result.backward_peak = std::max(result.backward_peak, now);
                result.after_backward = replay.allocated();
                break;
            case Phase::optimizer: result.optimizer_peak = std::max(result.optimizer_peak, now); break;
        }
    }
}

}  // namespace

MemoryReplay replay_memory(const Program& program, const AllocatorSettings& settings, const trace::RankTrace* times) {
    MemoryReplay result;
    Replay replay(program, settings, times);
    result.init_peak = replay.run(schedule::Segment::init);
    result.after_init = replay.allocated();
    result.first_step_peak = replay.run(program.segment_of_step(1));
    replay.run(program.segment_of_step(2));
    measured_step(replay, program, result);
    result.after_step = replay.allocated();
    result.peak_reserved = replay.counters().peak_reserved;
    result.host_peak = replay.host_peak;
    result.host_pinned_peak = replay.pinned_peak;
    result.inactive_split = replay.counters().inactive_split;
    result.requested_at_end = replay.counters().requested;
    result.peak_active = replay.counters().peak_active;
    result.peak_inactive_split = replay.counters().peak_inactive_split;
    result.retries = replay.counters().retries;
    result.out_of_memory = replay.out_of_memory();
    return result;
}

}  // namespace zerosim::sim
