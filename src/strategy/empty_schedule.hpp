// A schedule before its first op: how many ranks there are, and the names of the model's parameters.
// Begun so by every planner.
// Declares no axis and no stream: those are a system's own.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

[[nodiscard]] schedule::Schedule empty_schedule(const Scenario& scenario);

}  // namespace zerosim::strategy
