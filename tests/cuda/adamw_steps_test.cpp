// AdamW's bias corrections on the emulated grid: the CUDA kernel computes them in fp32, the host in fp64, and they must agree at every step of a long run.
#include "device/cuda_kernels/kernels.hpp"
#include "device/host_kernels/host_kernels.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace zerosim::device::test {
namespace {

/// One element, updated once as step `number`: what it becomes.
template <class Run>
float updated(float number, float beta2, const Run& run) {
    float parameter = 0.5f, m = 0.0f, v = 0.0f, gradient = 0.25f, factor = 1, skip = 0, step = number;
    kernel::Attributes a;
    a.learning_rate = 1e-2f;
    a.beta1 = 0.9f;
    a.beta2 = beta2;
    a.epsilon = 1e-8f;
    const auto view = [](float& value) { return TensorView{&value, 1, 1, 1, DType::fp32}; };
    const std::array operands{view(parameter), TensorView{nullptr, 1, 1, 1, DType::fp32}, view(m), view(v), view(gradient), view(factor), view(skip), view(step)};
    const std::array range{RangeSegment{0, 1, false}};
    run(KernelCall{kernel::Kernel::adamw, a, operands, range, {}, {}});
    return parameter - 0.5f;
}

class AdamWSteps : public testing::TestWithParam<std::tuple<float, float>> {};

TEST_P(AdamWSteps, AgreeWithTheHost) {
    const auto [number, beta2] = GetParam();
    const float host = updated(number, beta2, [](const KernelCall& call) { host::run_kernel(call); });
    const float cuda = updated(number, beta2, [](const KernelCall& call) { cuda::run_kernel(call, {}); });
    EXPECT_NEAR(cuda, host, 4e-7 + 1e-5 * std::abs(host));   // both subtract two numbers near 0.5
}

INSTANTIATE_TEST_SUITE_P(Numbers, AdamWSteps, testing::Combine(testing::Values(1.0f, 2.0f, 10.0f, 1000.0f, 1e6f), testing::Values(0.0f, 0.95f, 0.999f, 0.99999f)));

}  // namespace
}  // namespace zerosim::device::test
