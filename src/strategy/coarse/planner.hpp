// Models that are known by groups of parameters and rules of activations alone: states by the systems' formulas, activations by the rules.
// Called by plan() for systems ddp, fsdp2 and zerosim (stages 0 and 3).
// Coarse: no kernels, no order inside of a group, no allocator; the schedule's notes and the report say so.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

[[nodiscard]] schedule::Schedule plan_coarse(const Scenario& scenario);
[[nodiscard]] std::int64_t coarse_trainable_parameters(const model::Model& model);

}  // namespace zerosim::strategy
