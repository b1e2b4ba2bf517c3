#include "strategy/fsdp/planner.hpp"

#include "base/error.hpp"
#include "strategy/zerosim/planner.hpp"

#include <fmt/format.h>

namespace zerosim::strategy {

schedule::Schedule plan_fsdp(const Scenario& scenario) {
    const int stage = scenario.strategy.zero_stage;
    if (stage != 2 && stage != 3)
        throw ConfigError(fmt::format("strategy.zero-stage is {}; strategy.system fsdp shards as stage 2 (SHARD_GRAD_OP) or 3 (FULL_SHARD)", stage));
    FlatOptions options;
    options.reduce = scenario.training.reduce_precision.value_or(DType::fp32);
    options.keep_gathered = stage == 2;
    options.keep_root = true;   // _post_forward_reshard: the root's parameters are about to be used by backward
    options.one_communication_stream = true;
    Scenario flat = scenario;   // both stages shard parameters; they differ in when these are freed
    flat.strategy.zero_stage = 3;
    flat.strategy.prefetch_depth = 1;
    return plan_zerosim(flat, options);
}

}  // namespace zerosim::strategy
