// What the backward of PyTorch's memory-efficient attention (CUTLASS) takes beside its gradients.
// Called by torch/attention.cpp for fp32, masked and Volta's 2-byte attention on GPUs of NVIDIA.
// Chooses no kernel of SDPA: whether this one is called is known before.
#pragma once

#include "strategy/torch/operations.hpp"

namespace zerosim::strategy::torch {

struct EfficientRoom {
    bool delta_in_kernel = true;   // else it is computed by operations before the kernel
    std::int64_t workspace = 0;    // bytes: partial sums of dq, and of dk and dv where registers do not hold them
};

/// `capability`: CUDA's compute capability times ten; 0 = not CUDA, where there is no workspace.
[[nodiscard]] EfficientRoom efficient_room(const AttentionShape& shape, DType dtype, int capability);

}  // namespace zerosim::strategy::torch
