// The planner of `fsdp`: PyTorch's FSDP1 (FullyShardedDataParallel), one flat parameter a block and one for the root.
// FULL_SHARD (stage 3), SHARD_GRAD_OP (stage 2), HYBRID_SHARD (strategy.shard-group), NO_SHARD on one rank, CPU offload.
// Called by strategy::plan. Emits what eager PyTorch issues (torch/distributed/fsdp/_runtime_utils.py); it does not improve on it.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

[[nodiscard]] schedule::Schedule plan_fsdp(const Scenario& scenario);

}  // namespace zerosim::strategy
