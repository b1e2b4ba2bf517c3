// Which systems plan which families of models, attention kernels and dropout.
// Called by check_scenario and, for what only a run excludes, by config/.
// What a system cannot do is refused by name; nothing is changed.
#pragma once

#include "strategy/scenario.hpp"

namespace zerosim::strategy {

/// Plans the eager modules of strategy/torch.
[[nodiscard]] bool has_eager_modules(const Scenario& scenario);
/// Throws ConfigError for a model, an attention or a dropout that the system has no modules for.
void check_model(const Scenario& scenario);
/// Why no device can run the scenario's kernels although they can be planned; "" if one can.
[[nodiscard]] std::string planned_only(const Scenario& scenario);

}  // namespace zerosim::strategy
