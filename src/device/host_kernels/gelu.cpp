#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/host_kernels/vector_math.hpp"

namespace zerosim::device::host {
namespace {

// Hendrycks, Gimpel 2016, "Gaussian Error Linear Units", section 2: 0.5 x (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3).
// 0.5 (1 + tanh(u)) = sigmoid(2u), which keeps its relative accuracy for negative x.
constexpr float kTwoSqrtTwoOverPi = 1.59576912160573071f;
constexpr float kCubic = 0.044715f;

[[nodiscard]] inline float two_u(float x) { return kTwoSqrtTwoOverPi * (x + kCubic * x * x * x); }

} // namespace

void gelu_forward(const KernelCall& call) {
    const TensorView &x = call.operands[0], &y = call.operands[1];
    for_each_block(call.context.workers, {x, y}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Block block;
        load_block(x, row, column, count, block);
        for (std::int64_t i = 0; i < padded(count); ++i) block[i] *= fast_sigmoid(two_u(block[i]));
        store_block(block, y, row, column, count);
    });
}

void gelu_backward(const KernelCall& call) {
    const TensorView &d_y = call.operands[0], &x = call.operands[1], &d_x = call.operands[2];
    for_each_block(call.context.workers, {d_y, x, d_x}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Block gradient, value;
        load_block(d_y, row, column, count, gradient);
        load_block(x, row, column, count, value);
        for (std::int64_t i = 0; i < padded(count); ++i) {
            // s = 1 / (1 + e) and s (1 - s) = e s^2, without the cancellation of 1 - s; above e^80 both are 0 and e must stay
            // finite.
            const float e = fast_exp(std::min(-two_u(value[i]), 80.0f));
            const float s = 1.0f / (1.0f + e);
            const float slope = kTwoSqrtTwoOverPi * (1.0f + 3.0f * kCubic * value[i] * value[i]); // of 2u
            gradient[i] *= s + value[i] * slope * (e * s * s);
        }
        store_block(gradient, d_x, row, column, count);
    });
}

} // namespace zerosim::device::host
