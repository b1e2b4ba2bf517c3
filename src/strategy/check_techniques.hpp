// Which systems have which memory techniques: adapters, quantized weights, optimizers, offload, losses.
// Called by check_scenario.
// What a system cannot do is refused by name; nothing is changed.
#pragma once

#include "strategy/scenario.hpp"

namespace zerosim::strategy {

/// Throws ConfigError for a technique that the system, or another option, excludes.
void check_techniques(const Scenario& scenario);

}  // namespace zerosim::strategy
