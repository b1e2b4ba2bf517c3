// Can a program run for real? Kernels that stand for planning alone have no implementation on any device.
// Called before a run with real kernels; synthetic runs need none.
// Does not validate.
#pragma once

#include "schedule/schedule.hpp"

namespace zerosim::exec {

/// Where a program's ops begin among those of all programs: ExecuteOptions::synthetic_seconds counts so.
[[nodiscard]] std::size_t first_op(const schedule::Schedule& schedule, const schedule::Program& program);

/// The first op whose kernel the host does not have; an invalid id when all can run.
[[nodiscard]] OpId first_without_kernel(const schedule::Program& program);

}  // namespace zerosim::exec
