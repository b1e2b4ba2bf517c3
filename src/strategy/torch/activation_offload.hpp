// Saved tensors in pinned host memory between forward and backward.
// Called by the planners of eager systems before the first step.
// Copies on the default stream, each tensor when it is saved; parameters stay where they are.
#pragma once

#include "strategy/torch/tape.hpp"

namespace zerosim::strategy::torch {

/// torch.autograd.graph.save_on_cpu(pin_memory=True) with torchtune's OffloadActivations' choice of tensors, without its extra stream.
void offload_saved_tensors(Tape& tape, PoolId host_pool);

}  // namespace zerosim::strategy::torch
