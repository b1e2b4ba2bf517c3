// The executor's own time for an op: what a rank's thread needs to allocate, issue and free around a kernel that does nothing.
// Called by `calibrate` on every rank at once.
// Does not measure kernels.
#pragma once

#include "schedule/schedule.hpp"

namespace zerosim::cli {

/// A step of `kernels` kernels that add 16 elements, each with a temporary of its own.
[[nodiscard]] schedule::Schedule tiny_kernels(int kernels);

/// Seconds from one kernel of 16 elements to the next, with an allocation and a release between them.
[[nodiscard]] double measure_issue_seconds();

/// Seconds by which a collective that moves nothing parts two kernels: over to the communication thread and back.
[[nodiscard]] double measure_hand_over_seconds();

} // namespace zerosim::cli
