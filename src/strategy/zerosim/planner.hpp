// The planner of the `zerosim` system: ideal ZeRO stages 0 to 3, with a real reduce-scatter at every stage that shards.
// Called by strategy::plan.
// Does not mimic a framework: those have planners of their own.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

[[nodiscard]] schedule::Schedule plan_zerosim(const Scenario& scenario);

}  // namespace zerosim::strategy
