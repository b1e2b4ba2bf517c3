// Hand-worked sequences of PyTorch's caching allocator (c10/cuda/CUDACachingAllocator.cpp).
#include "base/error.hpp"
#include "sim/caching_allocator.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace zerosim::sim {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

TEST(CachingAllocator, RoundsTo512AndReservesTwoMebibytesForSmallBlocks) {
    CachingAllocator a(1);
    static_cast<void>(a.allocate(0, 1));
    EXPECT_EQ(a.counters().allocated, 512);
    EXPECT_EQ(a.counters().requested, 1);
    EXPECT_EQ(a.counters().reserved, 2 * kMiB);
    EXPECT_EQ(a.counters().inactive_split, 2 * kMiB - 512);
    static_cast<void>(a.allocate(0, kMiB));   // still small: the same segment
    EXPECT_EQ(a.counters().reserved, 2 * kMiB);
}

TEST(CachingAllocator, NothingIsAllocatedForZeroBytes) {
    CachingAllocator a(1);
    EXPECT_EQ(a.allocate(0, 0), CachingAllocator::kNone);
    a.free(CachingAllocator::kNone);
    EXPECT_EQ(a.counters().reserved, 0);
}

TEST(CachingAllocator, LargeBlocksBelowTenMebibytesShareSegmentsOfTwenty) {
    CachingAllocator a(1);
    static_cast<void>(a.allocate(0, kMiB + 1));
    EXPECT_EQ(a.counters().reserved, 20 * kMiB);
    EXPECT_EQ(a.counters().allocated, kMiB + 512);
    static_cast<void>(a.allocate(0, 9 * kMiB));
    static_cast<void>(a.allocate(0, 9 * kMiB - 4096));
    EXPECT_EQ(a.counters().reserved, 20 * kMiB) << "1 + 9 + 9 MiB fit into one segment";
    static_cast<void>(a.allocate(0, 10 * kMiB));
    EXPECT_EQ(a.counters().reserved, 30 * kMiB) << "from 10 MiB on a segment of its own, in steps of 2 MiB";
}

TEST(CachingAllocator, RemaindersUpToOneMebibyteStayUnsplitAndCount) {
    CachingAllocator a(1);
    static_cast<void>(a.allocate(0, 11 * kMiB));   // segment 12: 1 MiB remains, not more
    EXPECT_EQ(a.counters().allocated, 12 * kMiB);
    EXPECT_EQ(a.counters().requested, 11 * kMiB);
    EXPECT_EQ(a.counters().inactive_split, 0);
    static_cast<void>(a.allocate(0, 11 * kMiB - 512));   // more than 1 MiB remains: split
    EXPECT_EQ(a.counters().allocated, 12 * kMiB + 11 * kMiB - 512);
    EXPECT_EQ(a.counters().inactive_split, kMiB + 512);
}

TEST(CachingAllocator, NeighboursMerge) {
    CachingAllocator a(1);
    const auto first = a.allocate(0, 2 * kMiB), second = a.allocate(0, 2 * kMiB), third = a.allocate(0, 2 * kMiB);
    a.free(first);
    a.free(third);   // joins the rest of the segment
    EXPECT_EQ(a.counters().inactive_split, 18 * kMiB);
    a.free(second);  // one block again
    EXPECT_EQ(a.counters().inactive_split, 0);
    EXPECT_EQ(a.counters().allocated, 0);
    static_cast<void>(a.allocate(0, 9 * kMiB));
    EXPECT_EQ(a.counters().reserved, 20 * kMiB);
}

TEST(CachingAllocator, BestFitIsTheSmallestThenTheNewestSegment) {
    CachingAllocator a(1);
    const auto older = a.allocate(0, 20 * kMiB), newer = a.allocate(0, 20 * kMiB), large = a.allocate(0, 40 * kMiB);
    const std::int64_t newer_address = a.address_of(newer);
    EXPECT_LT(newer_address, a.address_of(older)) << "the newer segment lies below";
    for (const auto block : {large, older, newer}) a.free(block);
    EXPECT_EQ(a.address_of(a.allocate(0, 19 * kMiB + 4096)), newer_address);
}

TEST(CachingAllocator, StreamsShareNothing) {
    CachingAllocator a(2);
    a.free(a.allocate(0, 30 * kMiB));
    static_cast<void>(a.allocate(1, 30 * kMiB));
    EXPECT_EQ(a.counters().reserved, 60 * kMiB);
    EXPECT_EQ(a.counters().segments, 2);
}

TEST(CachingAllocator, BlocksThatAnotherStreamUsesComeBackOnRelease) {
    CachingAllocator a(1);
    const auto block = a.allocate(0, 30 * kMiB);
    a.free_later(block);
    EXPECT_EQ(a.counters().allocated, 0) << "free() counts at once";
    EXPECT_EQ(a.counters().active, 30 * kMiB);
    static_cast<void>(a.allocate(0, 30 * kMiB));
    EXPECT_EQ(a.counters().reserved, 60 * kMiB) << "the first is not reusable yet";
    a.release(block);
    static_cast<void>(a.allocate(0, 30 * kMiB));
    EXPECT_EQ(a.counters().reserved, 60 * kMiB);
    EXPECT_THROW(a.release(block), BugError);
}

TEST(CachingAllocator, FreeingTwiceIsABug) {
    CachingAllocator a(1);
    const auto block = a.allocate(0, 100);
    a.free(block);
    EXPECT_THROW(a.free(block), BugError);
}

// Blocks never overlap, and counters are the sums of what lives.
TEST(CachingAllocator, RandomSequencesKeepTheBooks) {
    std::mt19937_64 random(7);
    CachingAllocator a(2);
    std::vector<CachingAllocator::Block> live;
    for (int i = 0; i < 20000; ++i) {
        if (live.empty() || random() % 100 < 52) {
            const int magnitude = static_cast<int>(random() % 26);
            live.push_back(a.allocate(random() % 2, 1 + static_cast<std::int64_t>(random() % (std::uint64_t{1} << magnitude))));
        } else {
            std::swap(live[random() % live.size()], live.back());
            a.free(live.back());
            live.pop_back();
        }
        if (i % 500 != 0) continue;
        std::vector<std::pair<std::int64_t, std::int64_t>> ranges;
        std::int64_t sum = 0;
        for (const auto block : live) {
            ranges.emplace_back(a.address_of(block), a.size_of(block));
            sum += a.size_of(block);
        }
        std::ranges::sort(ranges);
        for (std::size_t k = 1; k < ranges.size(); ++k) ASSERT_LE(ranges[k - 1].first + ranges[k - 1].second, ranges[k].first);
        ASSERT_EQ(a.counters().allocated, sum);
        ASSERT_LE(a.counters().allocated + a.counters().inactive_split, a.counters().reserved);
    }
    for (const auto block : live) a.free(block);
    EXPECT_EQ(a.counters().allocated, 0);
    EXPECT_EQ(a.counters().requested, 0);
    EXPECT_EQ(a.counters().inactive_split, 0) << "every segment is one free block again";
}

}  // namespace
}  // namespace zerosim::sim
