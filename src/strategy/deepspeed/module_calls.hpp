// Modules without parameters of their own (blocks, attention, MLP, activations): DeepSpeed hooks them too, and prefetches at each.
// Used by ParameterCoordinator to know how many such calls come before a module that has parameters.
// Sources: transformers 5 modeling_{llama,gpt2}.py; the torch implementation: a model of blocks.
#pragma once

#include "model/model.hpp"
#include "strategy/torch/tape.hpp"

namespace zerosim::strategy::deepspeed {

class Containers {
public:
    explicit Containers(const model::Model& model)
        : huggingface_(model.implementation == model::Implementation::huggingface), gpt_(model.family == model::Family::gpt2) {}
    [[nodiscard]] int before_forward(const torch::ModuleCall& call) const;
    [[nodiscard]] int before_backward(const torch::ModuleCall& call) const;

private:
    bool huggingface_, gpt_;
};

} // namespace zerosim::strategy::deepspeed
