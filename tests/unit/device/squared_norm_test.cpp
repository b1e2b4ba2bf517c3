// The binned norm: right, and the same bits for every partition, order and number of threads.
#include "device/norm_bins.hpp"
#include "kernel_testing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>

namespace zerosim::device::testing {
namespace {

using kernel::Kernel;
using Bins = std::vector<double>;

void add_norm(const TensorView& gradient, Bins& bins, Workers* workers = nullptr, std::vector<RangeSegment> range = {}) {
    if (range.empty()) range = {{0, gradient.elements(), true}};
    run(Kernel::squared_norm, {}, {gradient, {bins.data(), 1, kernel::kNormBins, kernel::kNormBins, DType::fp64}},
        {.workers = workers}, range);
}

double norm_of(const Tensor& gradient) {
    Bins bins(kernel::kNormBins);
    add_norm(gradient.view(), bins);
    return sum_of_norm_bins(bins);
}

double squares(const std::vector<double>& values) {
    long double sum = 0;
    for (const double value : values) sum += static_cast<long double>(value) * value;
    return static_cast<double>(sum);
}

/// Random numbers whose exponents spread over `spread` powers of two around 2^centre.
std::vector<double> wide_values(std::uint64_t seed, std::int64_t count, int centre, int spread) {
    std::vector<double> values;
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(count); ++i) {
        const int exponent = centre + static_cast<int>(hash64(seed, 2 * i) % static_cast<std::uint64_t>(spread + 1)) - spread / 2;
        values.push_back(std::ldexp(2.0 * unit_double(hash64(seed, 2 * i + 1)) - 1.0, exponent));
    }
    return values;
}

TEST(SquaredNorm, EqualsTheSumOfSquares) {
    for (const DType type : {DType::fp32, DType::bf16, DType::fp16}) {
        Tensor gradient(1, 5003, type);
        gradient.randomize(1);
        const double expected = squares(gradient.values());
        EXPECT_NEAR(norm_of(gradient), expected, 1e-14 * expected) << name(type);
    }
}

TEST(SquaredNorm, CoversFloatsFromSmallToLargest) {
    for (const double value : {1e-24, 1e-10, 1.0, 65504.0, 1e19, 3.4028234e38}) {
        Tensor gradient(1, 3);
        gradient.set({value, 0.0, -value});
        EXPECT_NEAR(norm_of(gradient) / squares(gradient.values()), 1.0, 1e-12) << value;
    }
    Tensor zero(1, 100);
    EXPECT_EQ(norm_of(zero), 0.0);
}

struct Spread {
    int centre, spread;
};
class SquaredNormSpread : public ::testing::TestWithParam<Spread> {};
INSTANTIATE_TEST_SUITE_P(Ranges, SquaredNormSpread,
                         ::testing::Values(Spread{0, 4}, Spread{-10, 60}, Spread{0, 250}, Spread{-100, 100}, Spread{100, 56}));

/// Random splits into calls, as ranks would make them, bins added in random order; blocks begin anywhere.
TEST_P(SquaredNormSpread, SameBitsForRandomPartitions) {
    const std::int64_t count = 60'000;
    for (std::uint64_t seed = 1; seed <= 8; ++seed) {
        Tensor gradient(1, count);
        gradient.set(wide_values(seed, count, GetParam().centre, GetParam().spread));
        const double expected = norm_of(gradient);
        EXPECT_NEAR(expected / squares(gradient.values()), 1.0, 1e-12);
        std::vector<Bins> ranks;
        for (std::int64_t begin = 0, i = 0; begin < count; ++i) {
            const auto length = static_cast<std::int64_t>(hash64(seed + 100, static_cast<std::uint64_t>(i)) % 20'000);
            const std::int64_t n = std::min(count - begin, length);
            Workers workers(1 + static_cast<int>(i % 3));
            ranks.emplace_back(kernel::kNormBins);
            add_norm(slice(gradient.view(), begin, n), ranks.back(), &workers);
            begin += n;
        }
        std::shuffle(ranks.begin(), ranks.end(), std::mt19937_64(seed));
        Bins total(kernel::kNormBins);
        for (const Bins& rank : ranks)
            for (std::size_t i = 0; i < total.size(); ++i) total[i] += rank[i];
        EXPECT_EQ(std::bit_cast<std::uint64_t>(sum_of_norm_bins(total)), std::bit_cast<std::uint64_t>(expected))
            << "seed " << seed;
    }
}

TEST_P(SquaredNormSpread, SameBitsForAnyOrder) {
    auto values = wide_values(5, 20'000, GetParam().centre, GetParam().spread);
    Tensor gradient(1, 20'000);
    const double expected = norm_of(gradient.set(values));
    std::sort(values.begin(), values.end());
    EXPECT_EQ(norm_of(gradient.set(values)), expected);
    std::sort(values.begin(), values.end(), [](double a, double b) { return std::abs(a) > std::abs(b); });
    EXPECT_EQ(norm_of(gradient.set(values)), expected);
}

TEST(SquaredNorm, OnlySegmentsCount) {
    Tensor gradient(1, 2000);
    host::fill(nullptr, gradient.view(), 1.0);
    Bins bins(kernel::kNormBins);
    add_norm(gradient.view(), bins, nullptr, {{10, 700, true}, {900, 50, false}});
    EXPECT_EQ(sum_of_norm_bins(bins), 750.0);
    add_norm(gradient.view(), bins, nullptr, {{0, 1, true}});
    EXPECT_EQ(sum_of_norm_bins(bins), 751.0) << "the kernel adds to the bins";
}

TEST(SquaredNorm, NotFiniteStaysNotFinite) {
    for (const double bad : {std::nan(""), static_cast<double>(INFINITY), -static_cast<double>(INFINITY)})
        for (const std::size_t where : {0u, 777u, 1999u}) {
            std::vector<double> values(2000, 1.0);
            values[where] = bad;
            Tensor gradient(1, 2000);
            EXPECT_FALSE(std::isfinite(norm_of(gradient.set(values)))) << bad << " at " << where;
        }
}

TEST(SquaredNorm, NoElements) {
    Tensor gradient(1, 0);
    EXPECT_EQ(norm_of(gradient), 0.0);
}

} // namespace
} // namespace zerosim::device::testing
