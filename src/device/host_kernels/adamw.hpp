// The AdamW update of one flat range of a shard: shared by `adamw` (one shard, with a master) and `adamw_tensors`.
// Called by these two kernels.
// Does not walk tensors.
#pragma once

#include "device/device.hpp"

namespace zerosim::device::host {

struct AdamwOperands {
    TensorView parameter, master, m, v, gradient;   // master: absent = the parameter is updated itself
};
/// `factor` scales the gradient; `step` counts from 1. Parts that no range covers are padding and stay.
void adamw_range(const KernelCall& call, const AdamwOperands& operands, std::span<const RangeSegment> ranges, float factor, double step);

}  // namespace zerosim::device::host
