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

class Replay {
public:
    explicit Replay(const Program& program)
        : program_(program), allocator_(program.streams.size()), blocks_(program.storages.size(), CachingAllocator::kNone) {}

    [[nodiscard]] std::int64_t allocated() const { return allocator_.counters().allocated; }
    [[nodiscard]] const CachingAllocator::Counters& counters() const { return allocator_.counters(); }

    void run(const Op& op) {
        if (op.kind != OpKind::alloc && op.kind != OpKind::free) return;
        const schedule::Storage& storage = program_.storage(op.storage);
        if (storage.space != schedule::Space::device) return count_host(storage, op.kind == OpKind::alloc);
        CachingAllocator::Block& block = blocks_[op.storage.index()];
        if (op.kind == OpKind::alloc) {
            block = allocator_.allocate(program_.pools[storage.pool.index()].owner.index(), storage.bytes);
        } else {
            allocator_.free(block);
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
    CachingAllocator allocator_;
    std::vector<CachingAllocator::Block> blocks_;   // by storage
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

MemoryReplay replay_memory(const Program& program) {
    MemoryReplay result;
    Replay replay(program);
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
    return result;
}

}  // namespace zerosim::sim
