// What a framework's caching allocator did beyond the bytes in use: fragments, retries, the request that failed.
// Part of MemoryReport; filled by whoever replays the allocator (sim/memory_replay).
// Plain data.
#pragma once

#include <cstdint>
#include <optional>

namespace zerosim::analysis {

/// The first request that did not fit into the device, and what stood in its way.
struct Shortage {
    std::int64_t requested = 0, allocated = 0, reserved = 0, capacity = 0, largest_free = 0;
};

struct AllocatorReport {
    std::int64_t peak_active = 0;            // allocated, and freed memory that other streams still used
    std::int64_t requested_after_step = 0;   // bytes that tensors asked for
    std::int64_t inactive_split = 0, peak_inactive_split = 0;   // free parts of segments in use: after the step, highest
    std::int64_t retries = 0;                // cached segments were given back to make room
    std::optional<Shortage> out_of_memory;
};

}  // namespace zerosim::analysis
