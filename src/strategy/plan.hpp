// strategy::plan: a scenario's schedule. Pure and deterministic; one planner per sharding system.
// Called by cli/ (run, simulate, show), search/ and tests.
// Does not execute, simulate or validate.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

/// Throws ConfigError, naming option and value, where the system cannot do what is asked.
[[nodiscard]] schedule::Schedule plan(const Scenario& scenario);

}  // namespace zerosim::strategy
