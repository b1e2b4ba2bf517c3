// Addresses of segments: highest first, aligned, gaps used, ranges that are given back joined.
#include "sim/address_space.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace zerosim::sim {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

TEST(AddressSpace, HighestFreeAddressesAlignedToThePowerOfTwoAbove) {
    AddressSpace space;
    const std::int64_t first = space.take(20 * kMiB), second = space.take(20 * kMiB);
    EXPECT_EQ(first % (32 * kMiB), 0);
    EXPECT_EQ(second, first - 32 * kMiB);
    EXPECT_EQ(space.take(500 * kMiB) % (64 * kMiB), 0) << "64 MiB are the most";
}

TEST(AddressSpace, SmallSegmentsFillTheGapAboveALargeOne) {
    AddressSpace space;
    const std::int64_t large = space.take(20 * kMiB);
    const std::int64_t small = space.take(2 * kMiB), other = space.take(4 * kMiB);
    EXPECT_EQ(small, large + 30 * kMiB);
    EXPECT_EQ(other % (4 * kMiB), 0);
    EXPECT_TRUE(other >= large + 20 * kMiB && other + 4 * kMiB <= small) << "below it, in the same gap";
    EXPECT_LT(space.take(16 * kMiB), large) << "the gap is too small";
}

TEST(AddressSpace, WhatIsGivenBackIsOneRangeAgain) {
    AddressSpace space;
    std::vector<std::int64_t> taken;
    for (int i = 0; i < 4; ++i) taken.push_back(space.take(64 * kMiB));
    for (const int i : {1, 3, 2}) space.give_back(taken[static_cast<std::size_t>(i)], 64 * kMiB);
    EXPECT_EQ(space.take(192 * kMiB), taken[3]) << "three neighbours joined";
    space.give_back(taken[3], 192 * kMiB);
    space.give_back(taken[0], 64 * kMiB);
    EXPECT_EQ(space.take(64 * kMiB), taken[0]);
}

}  // namespace
}  // namespace zerosim::sim
