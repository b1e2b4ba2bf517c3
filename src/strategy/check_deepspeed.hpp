// Can DeepSpeed do what is asked, and is what is asked of DeepSpeed asked of it? Throws ConfigError naming option and value.
// Called by check_scenario.
// Does not plan.
#pragma once

#include "strategy/scenario.hpp"

namespace zerosim::strategy {

void check_deepspeed(const Scenario& scenario);

} // namespace zerosim::strategy
