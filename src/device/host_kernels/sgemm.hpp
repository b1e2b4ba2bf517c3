// sgemm: C = alpha op(A) op(B) + beta C in fp32 on the calling thread, by OpenBLAS or by a plain loop.
// Called by the linear and attention kernels, which split their work over threads themselves.
// Does not convert types and does not start threads.
#pragma once

#include <cstdint>

namespace zerosim::device::host {

/// A matrix operand: row-major as stored, `stride` elements from row to row; op() transposes it when asked.
struct MatrixOperand {
    const float* data = nullptr;
    std::int64_t stride = 0;
    bool transposed = false;
};

/// op(A) is rows x depth, op(B) depth x columns. With beta 0 the result is never read.
void sgemm(std::int64_t rows, std::int64_t columns, std::int64_t depth, float alpha, const MatrixOperand& a,
           const MatrixOperand& b, float beta, float* c, std::int64_t c_stride);

} // namespace zerosim::device::host
