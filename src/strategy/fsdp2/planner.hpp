// The planner of PyTorch's FSDP2 (fully_shard of each block and of the root): stages 2 and 3, HSDP, CPU offload.
// Called by strategy::plan.
// Emits what eager PyTorch issues; it does not improve on it.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

[[nodiscard]] schedule::Schedule plan_fsdp2(const Scenario& scenario);

}  // namespace zerosim::strategy
