// Memory of a PyTorch system: a program's allocs and frees in issue order (init, first, two steady steps) through the caching allocator.
// Called by cli/ for the systems whose memory PyTorch manages.
// Times nothing itself: eager frameworks allocate when the host issues an op, not when the device runs it. Only memory that other streams
// still use when it is freed (record_stream) comes back by the clock, that of a simulation.
#pragma once

#include "schedule/schedule.hpp"
#include "sim/caching_allocator.hpp"
#include "trace/trace.hpp"

#include <cstdint>
#include <optional>

namespace zerosim::sim {

struct MemoryReplay {
    std::int64_t after_init = 0, init_peak = 0, first_step_peak = 0;
    std::int64_t forward_peak = 0, backward_peak = 0, optimizer_peak = 0;   // of the third step
    std::int64_t after_forward = 0, after_backward = 0, after_step = 0;     // of the third step; of its last micro-batch
    std::int64_t peak_reserved = 0;                                         // since the start
    std::int64_t host_peak = 0, host_pinned_peak = 0;                       // host memory; pinned blocks are rounded to powers of two
    std::int64_t inactive_split = 0, requested_at_end = 0;                  // after the third step
    std::int64_t peak_active = 0, peak_inactive_split = 0;                  // since the start
    std::int64_t retries = 0;                                               // cached segments were given back to make room
    std::optional<OutOfMemory> out_of_memory;                               // the first request that did not fit; later ones were granted
};

/// `times`: this program's rows of a simulation of three steps; null = memory that other streams use comes back at once.
[[nodiscard]] MemoryReplay replay_memory(const schedule::Program& program, const AllocatorSettings& settings = {}, const trace::RankTrace* times = nullptr);

}  // namespace zerosim::sim
