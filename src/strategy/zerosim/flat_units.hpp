// Flat units: which parameters lie together in one padded flat buffer, and so travel in one collective.
// Stage 3: one unit a module (embedding, each block, head; a tied embedding and the final norm make one root unit).
// Stages 0 to 2: buckets of about bucket-cap-mib in the order gradients become ready. Does not allocate.
#pragma once

#include "model/model.hpp"
#include "schedule/schedule.hpp"
#include "strategy/scenario.hpp"

#include <vector>

namespace zerosim::strategy::zerosim_system {

/// Modules in forward order: 0 = embedding, 1 + l = block l, layers + 1 = final norm, head and loss.
[[nodiscard]] int module_of(const model::Parameter& parameter, const model::Model& model);

/// Layouts in the order in which their first gradient becomes ready. `shard` = ceil(total / N), `padded` = N * shard.
[[nodiscard]] std::vector<schedule::FlatLayout> flat_units(const std::vector<model::Parameter>& parameters, const Scenario& scenario,
                                                           schedule::Names& names);

}  // namespace zerosim::strategy::zerosim_system
