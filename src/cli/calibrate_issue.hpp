// The executor's own time for an op: what a rank's thread needs to allocate, issue and free around a kernel that does nothing.
// Called by `calibrate` on every rank at once.
// Does not measure kernels.
#pragma once

namespace zerosim::cli {

/// Seconds from one kernel of 16 elements to the next, with an allocation and a release between them.
[[nodiscard]] double measure_issue_seconds();

} // namespace zerosim::cli
