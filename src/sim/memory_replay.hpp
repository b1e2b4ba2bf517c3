// Memory of a PyTorch system: a program's allocs and frees in issue order (init, first, two steady steps) through the caching allocator.
// Called by cli/ for the systems whose memory PyTorch manages.
// Times nothing: eager frameworks allocate when the host issues an op, not when the device runs it.
#pragma once

#include "schedule/schedule.hpp"

#include <cstdint>

namespace zerosim::sim {

struct MemoryReplay {
    std::int64_t after_init = 0, init_peak = 0, first_step_peak = 0;
    std::int64_t forward_peak = 0, backward_peak = 0, optimizer_peak = 0;   // of the third step
    std::int64_t after_forward = 0, after_backward = 0, after_step = 0;     // of the third step; of its last micro-batch
    std::int64_t peak_reserved = 0;                                         // since the start
    std::int64_t host_peak = 0, host_pinned_peak = 0;                       // host memory; pinned blocks are rounded to powers of two
    std::int64_t inactive_split = 0, requested_at_end = 0;                  // after the third step
};

[[nodiscard]] MemoryReplay replay_memory(const schedule::Program& program);

}  // namespace zerosim::sim
