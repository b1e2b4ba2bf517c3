#include "analysis/zero_formulas.hpp"

#include <gtest/gtest.h>

namespace zerosim::analysis {
namespace {

constexpr std::int64_t kPsi = 1'000'000;

double states(std::int64_t n, int stage, StatePrecision precision) {
    return zero_formulas(kPsi, n, 1, stage, precision).state_bytes / kPsi;
}
double sent(std::int64_t n, std::int64_t g, int stage) {
    return zero_formulas(kPsi, n, g, stage, StatePrecision::mixed).sent_elements / kPsi;
}

TEST(ZeroFormulas, StatesInMixedPrecision) {
    for (const std::int64_t n : {1, 2, 4}) {
        const auto d = static_cast<double>(n);
        EXPECT_DOUBLE_EQ(states(n, 0, StatePrecision::mixed), 16);
        EXPECT_DOUBLE_EQ(states(n, 1, StatePrecision::mixed), 4 + 12 / d);
        EXPECT_DOUBLE_EQ(states(n, 2, StatePrecision::mixed), 2 + 14 / d);
        EXPECT_DOUBLE_EQ(states(n, 3, StatePrecision::mixed), 16 / d);
    }
    // Figure 1 of the paper: 7.5 billion parameters, N = 64: 120, 31.4, 16.6 and 1.9 GB.
    const auto gigabytes = [](int stage) { return zero_formulas(7'500'000'000, 64, 1, stage, StatePrecision::mixed).state_bytes * 1e-9; };
    EXPECT_NEAR(gigabytes(0), 120, 0.05);
    EXPECT_NEAR(gigabytes(1), 31.4, 0.05);
    EXPECT_NEAR(gigabytes(2), 16.6, 0.05);
    EXPECT_NEAR(gigabytes(3), 1.9, 0.05);
}

TEST(ZeroFormulas, StatesInFp32AndBf16) {
    for (const std::int64_t n : {1, 2, 4}) {
        const auto d = static_cast<double>(n);
        EXPECT_DOUBLE_EQ(states(n, 0, StatePrecision::fp32), 16);
        EXPECT_DOUBLE_EQ(states(n, 1, StatePrecision::fp32), 8 + 8 / d);
        EXPECT_DOUBLE_EQ(states(n, 2, StatePrecision::fp32), 4 + 12 / d);
        EXPECT_DOUBLE_EQ(states(n, 3, StatePrecision::fp32), 16 / d);
        EXPECT_DOUBLE_EQ(states(n, 0, StatePrecision::bf16), 8);
        EXPECT_DOUBLE_EQ(states(n, 1, StatePrecision::bf16), 4 + 4 / d);
        EXPECT_DOUBLE_EQ(states(n, 2, StatePrecision::bf16), 2 + 6 / d);
        EXPECT_DOUBLE_EQ(states(n, 3, StatePrecision::bf16), 8 / d);
    }
}

TEST(ZeroFormulas, SentElements) {
    EXPECT_EQ(sent(1, 3, 3), 0);
    EXPECT_DOUBLE_EQ(sent(2, 1, 0), 1);
    EXPECT_DOUBLE_EQ(sent(4, 1, 0), 1.5);
    EXPECT_DOUBLE_EQ(sent(4, 3, 1), 1.5);     // reduced once a step
    EXPECT_DOUBLE_EQ(sent(4, 3, 2), 3);       // (G+1) * 3/4
    EXPECT_DOUBLE_EQ(sent(4, 1, 3), 2.25);
    EXPECT_DOUBLE_EQ(sent(4, 2, 3), 4.5);
    EXPECT_DOUBLE_EQ(zero_formulas(kPsi, 4, 1, 0, StatePrecision::fp32).sent_bytes, 1.5 * kPsi * 4);
    EXPECT_DOUBLE_EQ(zero_formulas(kPsi, 4, 1, 0, StatePrecision::mixed).sent_bytes, 1.5 * kPsi * 2);
}

TEST(ZeroFormulas, TextSaysWhatWasComputed) {
    EXPECT_EQ(zero_formulas(kPsi, 4, 1, 0, StatePrecision::mixed).state_text, "16P");
    EXPECT_EQ(zero_formulas(kPsi, 4, 1, 1, StatePrecision::mixed).state_text, "(4 + 12/N)P");
    EXPECT_EQ(zero_formulas(kPsi, 4, 1, 2, StatePrecision::fp32).state_text, "(4 + 12/N)P");
    EXPECT_EQ(zero_formulas(kPsi, 4, 1, 3, StatePrecision::bf16).state_text, "8P/N");
}

}  // namespace
}  // namespace zerosim::analysis
