// The executor's time for an op where the device has streams: allocate, issue, release, and record events when traced, around a kernel that
// does nothing. Called by `calibrate --device cuda` on every rank at once, before other work has the device.
// Does not measure kernels.
#pragma once

#include "device/stream_device.hpp"
#include "schedule/memory.hpp"
#include "schedule/schedule.hpp"

namespace zerosim::cli {

/// Seconds of a step of `schedule` over `kernels`, the median of several, on a device made for its streams, pools and arena.
[[nodiscard]] double step_seconds_a_kernel(device::StreamDevice& device, const schedule::Schedule& schedule, const schedule::ArenaPlan& arena, int kernels, bool traced);

/// Seconds from one kernel of 16 elements to the next on a device of its own, in the executor as `run` uses it: the host's time, or the
/// device's where that is longer.
[[nodiscard]] double measure_gpu_issue_seconds(int ordinal, bool traced);

}  // namespace zerosim::cli
