// Options of `mode inference`.
// Rows for the option table, and their values; called by resolve.
// Does not check what the model can: strategy/inference does.
#pragma once

#include "config/values.hpp"
#include "strategy/scenario.hpp"

namespace zerosim::config {

/// In `mode train` an option of inference that is given is an error; in `mode inference` one of training's batch is. Before defaults
/// that follow from others are set.
void check_mode(const Values& values);
[[nodiscard]] strategy::Inference inference_of(const Values& values);

}  // namespace zerosim::config
