#include "device/host_kernels/vector_math.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace zerosim::device::host {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Distance from the exact value in units of its last place.
double ulps(float actual, double exact) {
    const float nearest = std::abs(static_cast<float>(exact));
    return std::abs(actual - exact) / (std::nextafter(nearest, kInfinity) - nearest);
}

TEST(VectorMath, ExponentialIsWithinTwoUlps) {
    for (float x = -87.3f; x < 88.72f; x += 1.7e-3f) ASSERT_LT(ulps(fast_exp(x), std::exp(static_cast<double>(x))), 2.0) << x;
    EXPECT_EQ(fast_exp(0.0f), 1.0f);
    EXPECT_EQ(fast_exp(-kInfinity), 0.0f);
    EXPECT_EQ(fast_exp(-90.0f), 0.0f);
    EXPECT_EQ(fast_exp(89.0f), kInfinity);
    EXPECT_EQ(fast_exp(kInfinity), kInfinity);
    EXPECT_TRUE(std::isnan(fast_exp(std::nanf(""))));
}

TEST(VectorMath, SigmoidAndTanhAreWithinThreeUlps) {
    for (float x = -80.0f; x < 80.0f; x += 1.3e-3f) {
        const double exact = static_cast<double>(x);
        ASSERT_LT(ulps(fast_sigmoid(x), 1 / (1 + std::exp(-exact))), 3.0) << x;
        ASSERT_LT(ulps(fast_tanh(x), std::tanh(exact)), 3.0) << x;
    }
    EXPECT_EQ(fast_tanh(kInfinity), 1.0f);
    EXPECT_EQ(fast_tanh(-kInfinity), -1.0f);
    EXPECT_EQ(fast_sigmoid(-kInfinity), 0.0f);
    EXPECT_TRUE(std::isnan(fast_tanh(std::nanf(""))));
}

} // namespace
} // namespace zerosim::device::host
