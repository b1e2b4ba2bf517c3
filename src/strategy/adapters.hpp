// LoRA adapters (Hu et al. 2021): which linear layers of a model have them, and how many parameters they add.
// Used by torch/build.cpp, which builds them, by check_techniques.cpp and by reports.
// Knows no schedule.
#pragma once

#include "strategy/scenario.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace zerosim::strategy {

/// A linear layer of a block, by the name that train.lora-targets gives it.
struct LinearLayer {
    std::string_view name;
    std::int64_t in = 0, out = 0;
};
[[nodiscard]] std::vector<LinearLayer> linear_layers(const model::Model& model);

/// Whether the linear layer `name` has an adapter.
[[nodiscard]] bool adapts(const Training& training, std::string_view name);

/// What training with adapters adds: rank * (in + out) for each adapted layer of every block, and trained copies of embedding and head;
/// 0 without adapters.
[[nodiscard]] std::int64_t adapter_parameters(const model::Model& model, const Training& training);

/// Model FLOPs of a token, forward and backward: a frozen matrix has no gradient of its own, so it takes 4 per parameter instead of 6.
[[nodiscard]] double model_flops_per_token(const model::Model& model, const Training& training);

/// A schedule's parameter beyond the model's own: LoRA's B begins with zeros, so that an adapter changes nothing at first.
[[nodiscard]] bool starts_as_zero(std::string_view name);

}  // namespace zerosim::strategy
