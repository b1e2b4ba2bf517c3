// The column sums that a weight's gradient falls back to where cuBLASLt fuses no bias gradient: on the emulated grid, beside sums in order.
#include "device/cuda_kernels/kernels.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace zerosim::device::test {
namespace {

/// Small whole numbers: every sum is exact, whatever its order.
float element(std::int64_t row, std::int64_t column) { return static_cast<float>((row * 7 + column * 3) % 5 - 2); }

class BiasGradient : public testing::TestWithParam<std::tuple<std::int64_t, std::int64_t, std::int64_t, bool>> {};

TEST_P(BiasGradient, IsTheSumOfEachColumn) {
    const auto [rows, columns, stride, accumulate] = GetParam();
    std::vector<std::uint16_t> d_y(static_cast<std::size_t>(rows * stride), float_to_bf16(99));
    std::vector<float> d_bias(static_cast<std::size_t>(columns), 10), expected(static_cast<std::size_t>(columns), accumulate ? 10 : 0);
    for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t column = 0; column < columns; ++column) {
            d_y[static_cast<std::size_t>(row * stride + column)] = float_to_bf16(element(row, column));
            expected[static_cast<std::size_t>(column)] += element(row, column);
        }
    std::vector<std::byte> scratch(static_cast<std::size_t>(cuda::kScratchBytes));
    cuda::bias_gradient({d_y.data(), rows, columns, stride, DType::bf16}, {d_bias.data(), 1, columns, columns, DType::fp32}, accumulate, {nullptr, scratch.data(), false});
    EXPECT_EQ(d_bias, expected);
}

// Packed and not, one strip of columns and several, fewer rows than a band and many.
INSTANTIATE_TEST_SUITE_P(Shapes, BiasGradient,
                         testing::Combine(testing::Values(3, 70, 300), testing::Values(7, 40, 1104), testing::Values(1104, 1111), testing::Bool()));

}  // namespace
}  // namespace zerosim::device::test
