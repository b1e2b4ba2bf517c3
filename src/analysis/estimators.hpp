// What DeepSpeed's and accelerate's own estimators say of a model, by their published formulas.
// Called by cli/ for --estimators, to stand beside what a schedule really holds.
// Estimates nothing itself: these know no activations, no buffers, no allocator, and that is what the comparison shows.
#pragma once

#include "analysis/explanation.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::analysis {

struct EstimatorInput {
    std::int64_t parameters = 0;
    std::int64_t largest_layer = 0;      // parameters of the module that holds most itself, children apart
    std::int64_t gpus_per_node = 1, nodes = 1;
    int zero_stage = 0;
    bool offload_optimizer = false, offload_parameters = false;
    bool mixed = true;                   // fp32 weights with 16-bit compute
};

/// deepspeed/runtime/zero/stage_1_and_2.py estimate_zero2_model_states_mem_needs (stages 1 and 2) or stage3.py
/// estimate_zero3_model_states_mem_needs (zero.Init on); accelerate/commands/estimate.py estimate_training_usage. Bytes of one GPU and of one
/// host. DeepSpeed has no estimator of stage 0.
[[nodiscard]] std::vector<Estimate> estimates(const EstimatorInput& input);

}  // namespace zerosim::analysis
