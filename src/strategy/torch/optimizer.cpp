#include "strategy/torch/optimizer.hpp"

#include <algorithm>

namespace zerosim::strategy::torch {

using schedule::Role;

/// torch._foreach_norm (native/cuda/ForeachReduceOp.cu): partial results of chunks of 65536 elements of every tensor, then one
/// scalar tensor each.
void OptimizerStep::clip(const std::vector<Updated>& gradients) {
    constexpr std::int64_t kChunk = 65536;
    std::int64_t largest = 0;
    for (const Updated& gradient : gradients) largest = std::max(largest, gradient.elements);
    if (largest == 0) return;
    Buffer partial = tape_.memory.allocate("norm_partials", 4 * static_cast<std::int64_t>(gradients.size()) * ((largest + kChunk - 1) / kChunk),
                                           tape_.options.pool, Role::optimizer_temporary);
    Values norms;
    for (std::size_t i = 0; i < gradients.size(); ++i) norms.push_back(tape_.make("norm", 1, 1, DType::fp32, Role::optimizer_temporary));
    partial.reset();
}

void OptimizerStep::make_states(const std::vector<Updated>& tensors) {
    const bool adam = scenario_.training.optimizer != Optimizer::sgd_momentum;
    for (const Updated& t : tensors) {
        tape_.program.tags.layer = static_cast<std::int16_t>(t.layer);
        // fused AdamW keeps its step count on the device.
        if (scenario_.training.optimizer == Optimizer::adamw) states_.push_back(tape_.make("step", 1, 1, DType::fp32, Role::scalar));
        states_.push_back(tape_.make(adam ? "exp_avg" : "momentum_buffer", t.elements, 1, t.dtype, Role::first_moment));
        if (adam) states_.push_back(tape_.make("exp_avg_sq", t.elements, 1, t.dtype, Role::second_moment));
    }
    tape_.program.tags.layer = -1;
    made_ = true;
}

void OptimizerStep::step(const std::vector<Updated>& tensors) {
    if (!made_) make_states(tensors);
    std::int64_t elements = 0;
    for (const Updated& t : tensors) elements += t.elements;
    if (elements == 0) return;
    Values roots;
    // foreach AdamW: _foreach_sqrt of all second moments.
    if (scenario_.training.optimizer == Optimizer::adamw_foreach)
        for (const Updated& t : tensors) roots.push_back(tape_.make("exp_avg_sq_sqrt", t.elements, 1, t.dtype, Role::optimizer_temporary));
    kernel::Attributes a;
    a.tokens = elements;
    const TensorId state = states_.back().tensor;
    tape_.emit(kernel::Kernel::adamw, "optimizer_step", {tensors.front().parameter, {}, state, state, tensors.front().parameter, {}, {}, {}}, a);
}

void OptimizerStep::step_on_host(const std::vector<Updated>& tensors, PoolId pool) {
    if (!host_states_.empty()) return;
    const bool adam = scenario_.training.optimizer != Optimizer::sgd_momentum;
    for (const Updated& t : tensors) {
        const auto make = [&](const char* name, Role role) {
            host_states_.push_back(tape_.memory.allocate(name, t.elements * size_of(t.dtype), pool, role, schedule::Space::host));
        };
        make(adam ? "exp_avg" : "momentum_buffer", Role::first_moment);
        if (adam) make("exp_avg_sq", Role::second_moment);
    }
}

}  // namespace zerosim::strategy::torch
