// What inference knows, and the blocks that a paged cache gets.
// Called by its planner.
// Refuses by name; changes nothing.
#pragma once

#include "strategy/scenario.hpp"

namespace zerosim::strategy {

/// Throws ConfigError.
void check_inference(const Scenario& scenario);

}  // namespace zerosim::strategy
