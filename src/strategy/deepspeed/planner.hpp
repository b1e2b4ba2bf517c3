// The planner of DeepSpeed's ZeRO: stages 0 to 3 with their buckets, prefetching, sub-groups and offload, as DeepSpeed 0.19 does it.
// Called by strategy::plan.
// Emits what DeepSpeed issues on eager PyTorch; it does not improve on it.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

[[nodiscard]] schedule::Schedule plan_deepspeed(const Scenario& scenario);

} // namespace zerosim::strategy
