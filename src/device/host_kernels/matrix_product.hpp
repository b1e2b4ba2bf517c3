// Matrix product of tensors in parallel: C (+)= op(A) op(B) + bias, storage fp32, bf16 or fp16, sums in fp32.
// Called by the three linear kernels.
// Does not allocate: 2-byte operands pass through panels in the workspace operand (kernel/host_blocking.hpp).
#pragma once

#include "device/device.hpp"

namespace zerosim::device::host {

struct Factor {
    const TensorView& view;
    bool transposed = false;
};

struct ProductCall {
    Factor a, b;
    const TensorView& result;
    const TensorView* bias = nullptr; // added to every row; not together with accumulate
    const TensorView* workspace = nullptr;
    bool accumulate = false; // add into the result; 2-byte: read, added in fp32, rounded once
    Workers* workers = nullptr;
};

void matrix_product(const ProductCall& call);

} // namespace zerosim::device::host
