// Can the asked system do what is asked? Throws ConfigError naming option and value where it cannot.
// Called by strategy::plan before any planner.
// Does not plan.
#pragma once

#include "strategy/scenario.hpp"

namespace zerosim::strategy {

void check_scenario(const Scenario& scenario);

/// Planned as a framework's eager host issues it: memory goes through its caching allocator.
[[nodiscard]] bool is_eager(const Scenario& scenario);

}  // namespace zerosim::strategy
