// The planner of `fsdp`: PyTorch's FSDP1 (FullyShardedDataParallel), one flat parameter a block and one for the root.
// FULL_SHARD (stage 3) and SHARD_GRAD_OP (stage 2), gathers in bf16 at most two ahead (limit_all_gathers, BACKWARD_PRE), gradients
// reduced in fp32 or bf16 at every micro-batch on the same NCCL stream. Sources: torch/distributed/fsdp/_runtime_utils.py.
// Called by strategy::plan. Good for time: memory is that of fused kernels, not of eager PyTorch (fsdp2 has that).
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::strategy {

[[nodiscard]] schedule::Schedule plan_fsdp(const Scenario& scenario);

}  // namespace zerosim::strategy
