// The planner of `megatron`: Megatron-LM's data parallelism over Megatron-core modules: stage 1 = the distributed optimizer, stage 0 =
// replicated optimizer states and all-reduced gradients.
// Called by strategy::plan.
// Emits what its host issues; tensor, pipeline, context and expert parallelism are not modelled.
// Sources: megatron/core/distributed, megatron/core/optimizer/{distrib_optimizer,optimizer}.py, docs/source/api-guide/dist_optimizer.md.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

[[nodiscard]] schedule::Schedule plan_megatron(const Scenario& scenario);

}  // namespace zerosim::strategy
