// The planner of the `zerosim` system: ideal ZeRO stages 0 to 3, with a real reduce-scatter at every stage that shards.
// Called by strategy::plan, and with other options by the planner of `fsdp`.
// Does not mimic a framework: those have planners of their own.
#pragma once

#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

#include <optional>

namespace zerosim::strategy {

/// How a system with flat units differs from `zerosim`.
struct FlatOptions {
    std::optional<DType> reduce;             // dtype of gradients from the reduction on; none = the compute dtype
    bool keep_gathered = false;              // units stay whole from forward to backward (SHARD_GRAD_OP)
    bool keep_root = false;                  // only the first and last module's unit does
    bool one_communication_stream = false;   // gathers and reductions in one process group: NCCL runs them in issue order
};

[[nodiscard]] schedule::Schedule plan_zerosim(const Scenario& scenario, const FlatOptions& options = {});

}  // namespace zerosim::strategy
