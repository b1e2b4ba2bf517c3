// Shazeer 2020, "GLU Variants Improve Transformer", equation 6 without the matrices: silu(gate) * up, silu(x) = x sigmoid(x).
#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/host_kernels/vector_math.hpp"

namespace zerosim::device::host {

void swiglu_forward(const KernelCall& call) {
    const TensorView &gate = call.operands[0], &up = call.operands[1], &product = call.operands[2];
    for_each_block(call.context.workers, {gate, up, product}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Block g, u;
        load_block(gate, row, column, count, g);
        load_block(up, row, column, count, u);
        for (std::int64_t i = 0; i < padded(count); ++i) u[i] *= g[i] * fast_sigmoid(g[i]);
        store_block(u, product, row, column, count);
    });
}

void swiglu_backward(const KernelCall& call) {
    const TensorView &d_product = call.operands[0], &gate = call.operands[1], &up = call.operands[2];
    const TensorView &d_gate = call.operands[3], &d_up = call.operands[4];
    const auto body = [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Block d, g, u;
        load_block(d_product, row, column, count, d);
        load_block(gate, row, column, count, g);
        load_block(up, row, column, count, u);
        for (std::int64_t i = 0; i < padded(count); ++i) {
            const float s = fast_sigmoid(g[i]);
            const float silu = g[i] * s;
            const float silu_slope = s + silu * (1.0f - s);
            g[i] = d[i] * u[i] * silu_slope;
            u[i] = d[i] * silu;
        }
        store_block(g, d_gate, row, column, count);
        store_block(u, d_up, row, column, count);
    };
    for_each_block(call.context.workers, {d_product, gate, up, d_gate, d_up}, body);
}

} // namespace zerosim::device::host
