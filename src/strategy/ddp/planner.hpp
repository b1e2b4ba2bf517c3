// The planner of PyTorch's DistributedDataParallel (stage 0), with ZeroRedundancyOptimizer at stage 1.
// Called by strategy::plan.
// Emits what eager PyTorch issues; it does not improve on it.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

[[nodiscard]] schedule::Schedule plan_ddp(const Scenario& scenario);

}  // namespace zerosim::strategy
