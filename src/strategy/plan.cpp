#include "strategy/plan.hpp"

#include "base/error.hpp"
#include "strategy/zerosim/planner.hpp"

#include <fmt/format.h>

namespace zerosim::strategy {
namespace {

void require(bool holds, std::string_view what) {
    if (!holds) throw ConfigError(std::string(what));
}

void check_scenario(const Scenario& s) {
    const auto& t = s.training;
    require(s.strategy.system == System::zerosim, "strategy.system: only 'zerosim' has a planner so far");
    require(s.strategy.zero_stage >= 0 && s.strategy.zero_stage <= 3, fmt::format("strategy.zero-stage is {}; it must be 0, 1, 2 or 3", s.strategy.zero_stage));
    require(s.strategy.shard_group == 0 || s.strategy.shard_group == s.ranks,
            fmt::format("strategy.shard-group is {}, but the zerosim system shards over all {} ranks so far", s.strategy.shard_group, s.ranks));
    require(s.ranks >= 1, fmt::format("ranks is {}; it must be at least 1", s.ranks));
    require(t.micro_batch >= 1 && t.gradient_accumulation >= 1, "train.micro-batch and train.gradient-accumulation must be at least 1");
    require(t.sequence_length >= 1 && t.sequence_length <= s.model.positions,
            fmt::format("train.sequence-length is {}; {} has positions for 1 to {}", t.sequence_length, s.model.name, s.model.positions));
    require(s.strategy.prefetch_depth >= 0, "strategy.prefetch-depth must not be negative");
    require(s.strategy.bucket_cap_mib > 0, "strategy.bucket-cap-mib must be positive");
}

}  // namespace

schedule::Schedule plan(const Scenario& scenario) {
    check_scenario(scenario);
    return plan_zerosim(scenario);
}

}  // namespace zerosim::strategy
