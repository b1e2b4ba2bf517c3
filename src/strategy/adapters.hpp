// LoRA adapters (Hu et al. 2021): how many parameters they add to a model.
// Used by reports; planners build the adapters themselves (torch/build.cpp).
// Knows no schedule.
#pragma once

#include "strategy/scenario.hpp"

namespace zerosim::strategy {

/// rank * (in + out) for each adapted linear layer of every block; 0 without adapters.
[[nodiscard]] std::int64_t adapter_parameters(const model::Model& model, const Training& training);

}  // namespace zerosim::strategy
