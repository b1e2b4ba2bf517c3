// Time of fused causal attention on a GPU: products and softmax of the visible (query, key) pairs, slower for short sequences.
// Called by kernel_seconds.
// Does not know launches or the memory bound.
#pragma once

#include "cluster/cluster.hpp"
#include "kernel/kernel.hpp"

namespace zerosim::cost {

/// `peak` in FLOP/s of the operands' dtype. `software` says which library runs and how well.
[[nodiscard]] double attention_seconds(const kernel::Attributes& attributes, bool backward, double peak,
                                       const cluster::DeviceSpec& device, const cluster::Software& software);

} // namespace zerosim::cost
