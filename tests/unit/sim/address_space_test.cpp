// Addresses of segments: ranges of 32 MiB downwards, what they leave used from the lowest address, ranges that are given back joined.
#include "sim/address_space.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace zerosim::sim {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

TEST(AddressSpace, RangesOf32MiBBelowEachOther) {
    AddressSpace space;
    const std::int64_t first = space.take(20 * kMiB), second = space.take(20 * kMiB), third = space.take(40 * kMiB);
    EXPECT_EQ(first % (32 * kMiB), 0);
    EXPECT_EQ(second, first - 32 * kMiB);
    EXPECT_EQ(third, second - 64 * kMiB);
}

TEST(AddressSpace, SmallerSegmentsFillWhatIsLeftFromTheLowestAddress) {
    AddressSpace space;
    const std::int64_t high = space.take(40 * kMiB), low = space.take(26 * kMiB);
    EXPECT_EQ(space.take(6 * kMiB), low + 26 * kMiB);
    EXPECT_EQ(space.take(20 * kMiB), high + 40 * kMiB) << "a newer segment above older ones";
    EXPECT_EQ(space.take(2 * kMiB), high + 60 * kMiB);
    EXPECT_EQ(space.take(4 * kMiB), low - 32 * kMiB) << "2 MiB are left";
}

TEST(AddressSpace, WhatIsGivenBackIsOneRangeAgain) {
    AddressSpace space;
    std::vector<std::int64_t> taken;
    for (int i = 0; i < 4; ++i) taken.push_back(space.take(64 * kMiB));
    for (const int i : {1, 3, 2}) space.give_back(taken[static_cast<std::size_t>(i)], 64 * kMiB);
    EXPECT_EQ(space.take(192 * kMiB), taken[3]) << "three neighbours joined";
    space.give_back(taken[3], 192 * kMiB);
    space.give_back(taken[0], 64 * kMiB);
    EXPECT_EQ(space.take(256 * kMiB), taken[3]);
}

}  // namespace
}  // namespace zerosim::sim
