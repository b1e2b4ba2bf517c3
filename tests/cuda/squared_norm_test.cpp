// The exact squared norm on the emulated grid: the bits of the host's for gradients of every size, wherever a shard begins.
#include "device/cuda_kernels/kernels.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/norm_bins.hpp"

#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace zerosim::device::test {
namespace {

template <class Run>
double norm_of(std::vector<float>& gradient, std::int64_t begin, const Run& run) {
    std::array<double, kernel::kNormBins> bins{};
    const auto elements = static_cast<std::int64_t>(gradient.size());
    const std::array operands{TensorView{gradient.data(), 1, elements, elements, DType::fp32}, TensorView{bins.data(), 1, kernel::kNormBins, kernel::kNormBins, DType::fp64}};
    const std::array range{RangeSegment{begin, elements - begin, false}};
    run(KernelCall{kernel::Kernel::squared_norm, {}, operands, range, {}, {}});
    return sum_of_norm_bins(bins);
}
double on_host(std::vector<float>& gradient, std::int64_t begin) {
    return norm_of(gradient, begin, [](const KernelCall& call) { host::run_kernel(call); });
}
double on_cuda(std::vector<float>& gradient, std::int64_t begin) {
    return norm_of(gradient, begin, [](const KernelCall& call) { cuda::run_kernel(call, {}); });
}

/// Every exponent from `lowest` to `highest` and random bits below it; zeros between.
std::vector<float> spread(int lowest, int highest) {
    std::vector<float> values;
    for (std::uint64_t i = 0; i < 5000; ++i) {
        const std::uint64_t hash = hash64(11, i);
        const auto exponent = static_cast<std::uint32_t>(lowest + 127 + static_cast<int>(hash % static_cast<std::uint64_t>(highest - lowest + 1)));
        values.push_back(hash >> 60 == 0 ? 0.0f : std::bit_cast<float>(static_cast<std::uint32_t>(hash >> 32 & 0x807fffffu) | exponent << 23));
    }
    return values;
}

class SquaredNormOfSizes : public testing::TestWithParam<std::pair<int, int>> {};

TEST_P(SquaredNormOfSizes, HasTheHostsBits) {
    std::vector<float> gradient = spread(GetParam().first, GetParam().second);
    for (const std::int64_t begin : {0, 3, 8, 4096}) {
        const double host = on_host(gradient, begin);
        EXPECT_GE(host, 0);
        EXPECT_EQ(on_cuda(gradient, begin), host) << "from element " << begin;
    }
}

// Denormal; so small that bins run out; of training; of all; up to the largest of fp32.
INSTANTIATE_TEST_SUITE_P(Exponents, SquaredNormOfSizes,
                         testing::Values(std::pair{-127, -127}, std::pair{-120, -90}, std::pair{-30, 2}, std::pair{-127, 120}, std::pair{100, 120}, std::pair{127, 127}));

TEST(SquaredNorm, PowersOfTwoAtTheEdgesOfBins) {
    for (int exponent = -112; exponent <= 127; ++exponent)
        for (const float value : {std::ldexp(1.0f, exponent), std::nextafter(std::ldexp(1.0f, exponent), 2 * std::ldexp(1.0f, exponent))}) {
            std::vector<float> gradient{value, -value};
            EXPECT_EQ(on_cuda(gradient, 0), on_host(gradient, 0)) << value;
        }
}

TEST(SquaredNorm, WhatIsNotFiniteIsAnOverflow) {
    for (const float value : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
        for (const std::size_t place : {0u, 700u, 999u}) {
            std::vector<float> gradient(1000, 0.5f);
            gradient[place] = value;
            EXPECT_TRUE(std::isnan(on_cuda(gradient, 0))) << value << " at " << place;
        }
}

}  // namespace
}  // namespace zerosim::device::test
