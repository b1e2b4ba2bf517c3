// The options of DeepSpeed as they follow from one another: `auto` values and what the planner is told.
// Called by resolve() and strategy_of().
// Reads no file: see deepspeed_file.hpp.
#pragma once

#include "config/values.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::config {

/// `auto` as the Hugging Face Trainer resolves it, from the model's hidden size.
void settle_deepspeed(Values& values, const model::Model& model);
[[nodiscard]] strategy::DeepSpeedOptions deepspeed_of(const Values& values);
/// Settings of DeepSpeed that were given, but that the chosen stage does not read: key, origin and stage.
[[nodiscard]] std::vector<std::string> settings_of_other_stages(const Values& values);
/// Throws ConfigError if one of them is set: another system would have to ignore it.
void refuse_deepspeed_options(const Values& values);

} // namespace zerosim::config
