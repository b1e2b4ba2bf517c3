// The caching allocator at the edge of the device and under PYTORCH_CUDA_ALLOC_CONF, rule by rule (c10/cuda/CUDACachingAllocator.cpp).
#include "sim/caching_allocator.hpp"

#include <gtest/gtest.h>

#include <random>

namespace zerosim::sim {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

AllocatorSettings with(const std::function<void(AllocatorSettings&)>& change) {
    AllocatorSettings settings;
    change(settings);
    return settings;
}

TEST(AllocatorEdge, CachedSegmentsAreGivenBackBeforeItGivesUp) {
    CachingAllocator a(2, with([](auto& s) { s.capacity = 100 * kMiB; }));
    const auto kept = a.allocate(0, 30 * kMiB);
    a.free(a.allocate(0, 60 * kMiB));
    static_cast<void>(a.allocate(1, 60 * kMiB));   // another stream: the cached 60 MiB must go first
    EXPECT_EQ(a.counters().retries, 1);
    EXPECT_EQ(a.counters().reserved, 90 * kMiB);
    EXPECT_EQ(a.counters().device_frees, 1);
    EXPECT_FALSE(a.out_of_memory());
    a.free(kept);
}

TEST(AllocatorEdge, SplitSegmentsStandInTheWay) {
    CachingAllocator a(1, with([](auto& s) { s.capacity = 100 * kMiB; }));
    const auto first = a.allocate(0, 40 * kMiB);
    a.free(first);
    const auto small = a.allocate(0, 20 * kMiB);   // in the 40 MiB segment: 20 MiB of it are free, and cannot be given back
    static_cast<void>(a.allocate(0, 70 * kMiB));
    ASSERT_TRUE(a.out_of_memory());
    EXPECT_EQ(a.out_of_memory()->requested, 70 * kMiB);
    EXPECT_EQ(a.out_of_memory()->allocated, 20 * kMiB);
    EXPECT_EQ(a.out_of_memory()->reserved, 40 * kMiB);
    EXPECT_EQ(a.out_of_memory()->largest_free, 20 * kMiB);
    EXPECT_EQ(a.counters().reserved, 110 * kMiB) << "granted after all, so that the demand is known";
    a.free(small);
}

TEST(AllocatorEdge, MemoryThatOtherStreamsUseIsWaitedFor) {
    CachingAllocator a(1, with([](auto& s) { s.capacity = 100 * kMiB; }));
    a.free_later(a.allocate(0, 60 * kMiB), 1000);
    static_cast<void>(a.allocate(0, 60 * kMiB, 500));   // not done yet, but waited for
    EXPECT_EQ(a.counters().retries, 1);
    EXPECT_EQ(a.counters().reserved, 60 * kMiB);
    EXPECT_FALSE(a.out_of_memory());
}

TEST(AllocatorEvents, BlocksComeBackAtTheFirstAllocationAfterTheirUse) {
    CachingAllocator a(1);
    a.free_later(a.allocate(0, 30 * kMiB), 1000);
    a.free(a.allocate(0, 30 * kMiB, 999));
    EXPECT_EQ(a.counters().reserved, 60 * kMiB);
    EXPECT_EQ(a.counters().active, 30 * kMiB);
    static_cast<void>(a.allocate(0, 512, 1000));
    EXPECT_EQ(a.counters().active, 512);
}

TEST(AllocatorRounding, PowersOfTwoAreDivided) {
    CachingAllocator a(1, with([](auto& s) { s.roundup_power2_divisions = 4; }));
    EXPECT_EQ(a.size_of(a.allocate(0, 1200)), 1536) << "at most 4 * 512: in steps of 512";
    EXPECT_EQ(a.size_of(a.allocate(0, 5000)), 5120) << "4096, 5120, 6144, 7168, 8192";
    EXPECT_EQ(a.size_of(a.allocate(0, 8192)), 8192);
    static_cast<void>(a.allocate(0, 17 * kMiB));
    EXPECT_EQ(a.counters().allocated, 1536 + 5120 + 8192 + 20 * kMiB);
}

TEST(AllocatorMaxSplit, OversizeBlocksAreNotSplitAndNotForSmallerRequests) {
    CachingAllocator a(1, with([](auto& s) { s.max_split_size = 64 * kMiB; }));
    a.free(a.allocate(0, 100 * kMiB));
    static_cast<void>(a.allocate(0, 30 * kMiB));
    EXPECT_EQ(a.counters().reserved, 130 * kMiB) << "the 100 MiB block is left for oversize requests";
    const auto reused = a.allocate(0, 90 * kMiB);
    EXPECT_EQ(a.size_of(reused), 100 * kMiB) << "whole: 10 MiB are wasted, less than 20";
    a.free(reused);
    static_cast<void>(a.allocate(0, 80 * kMiB));
    EXPECT_EQ(a.counters().reserved, 210 * kMiB) << "20 MiB would be wasted: a segment of its own";
}

TEST(AllocatorMaxSplit, AtTheEdgeOversizeBlocksGoFirst) {
    CachingAllocator a(1, with([](auto& s) {
                           s.max_split_size = 64 * kMiB;
                           s.capacity = 300 * kMiB;
                       }));
    const auto first = a.allocate(0, 100 * kMiB), second = a.allocate(0, 150 * kMiB), small = a.allocate(0, 30 * kMiB);
    for (const auto block : {first, second, small}) a.free(block);
    static_cast<void>(a.allocate(0, 120 * kMiB));   // 150 would waste 30: none fits; giving the 150 back makes room
    EXPECT_EQ(a.counters().retries, 0) << "nothing else was given back";
    EXPECT_EQ(a.counters().reserved, (100 + 30 + 120) * kMiB);
}

TEST(AllocatorGarbage, OldSegmentsAreGivenBackAboveTheThreshold) {
    CachingAllocator a(1, with([](auto& s) {
                           s.fraction = 1;
                           s.device_bytes = s.capacity = 400 * kMiB;
                           s.garbage_collection_threshold = 0.5;
                       }));
    const auto old = a.allocate(0, 100 * kMiB);
    a.free(old);
    const auto young = a.allocate(0, 150 * kMiB);
    a.free(young);
    static_cast<void>(a.allocate(0, 160 * kMiB));   // 250 reserved of 200 allowed: the older free segment goes
    EXPECT_EQ(a.counters().reserved, (150 + 160) * kMiB);
    EXPECT_EQ(a.counters().retries, 0);
}

TEST(AllocatorGarbage, WithoutAFractionThresholdsMeanNothing) {
    CachingAllocator a(1, with([](auto& s) {
                           s.capacity = 400 * kMiB;
                           s.garbage_collection_threshold = 0.1;
                       }));
    a.free(a.allocate(0, 100 * kMiB));
    static_cast<void>(a.allocate(0, 150 * kMiB));
    EXPECT_EQ(a.counters().reserved, 250 * kMiB);
}

TEST(AllocatorFraction, IsALimitOfItsOwn) {
    CachingAllocator a(1, with([](auto& s) {
                           s.fraction = 0.5;
                           s.device_bytes = s.capacity = 200 * kMiB;
                       }));
    static_cast<void>(a.allocate(0, 60 * kMiB));
    static_cast<void>(a.allocate(0, 60 * kMiB));
    ASSERT_TRUE(a.out_of_memory());
    EXPECT_EQ(a.out_of_memory()->capacity, 100 * kMiB);
}

AllocatorSettings expandable(std::int64_t capacity = std::int64_t{1} << 40) {
    return with([capacity](auto& s) {
        s.expandable_segments = true;
        s.capacity = s.device_bytes = capacity;
    });
}

TEST(ExpandableSegments, GrowByPages) {
    CachingAllocator a(1, expandable());
    static_cast<void>(a.allocate(0, 1000));
    EXPECT_EQ(a.counters().reserved, 2 * kMiB);
    static_cast<void>(a.allocate(0, 25 * kMiB));
    EXPECT_EQ(a.counters().reserved, 42 * kMiB) << "two pages of 20 MiB";
    static_cast<void>(a.allocate(0, 14 * kMiB));
    EXPECT_EQ(a.counters().reserved, 42 * kMiB) << "the rest of the second page";
    static_cast<void>(a.allocate(0, 14 * kMiB));
    EXPECT_EQ(a.counters().reserved, 62 * kMiB) << "1 MiB was left, the new page adds 20";
    EXPECT_EQ(a.counters().inactive_split, 0) << "expandable segments are not counted";
}

TEST(ExpandableSegments, FreeBlocksGrowIntoLargerRequests) {
    CachingAllocator a(1, expandable()), plain(1);
    for (CachingAllocator* allocator : {&a, &plain}) {
        allocator->free(allocator->allocate(0, 100 * kMiB));
        static_cast<void>(allocator->allocate(0, 140 * kMiB));
    }
    EXPECT_EQ(a.counters().reserved, 140 * kMiB);
    EXPECT_EQ(plain.counters().reserved, 240 * kMiB);
}

TEST(ExpandableSegments, UnmapEmptyPagesAtTheEdge) {
    CachingAllocator a(2, expandable(200 * kMiB));
    const auto front = a.allocate(0, 100 * kMiB), back = a.allocate(0, 10 * kMiB);
    a.free(front);
    static_cast<void>(a.allocate(1, 150 * kMiB));   // 120 are mapped, 100 of them free: five pages go to the other stream
    EXPECT_EQ(a.counters().retries, 1);
    EXPECT_FALSE(a.out_of_memory());
    EXPECT_EQ(a.counters().reserved, 180 * kMiB);
    static_cast<void>(a.allocate(0, 15 * kMiB));    // one page again, at the lowest address
    EXPECT_EQ(a.counters().reserved, 200 * kMiB);
    a.free(back);
}

TEST(ExpandableSegments, RandomSequencesKeepTheBooks) {
    std::mt19937_64 random(11);
    CachingAllocator a(2, expandable(600 * kMiB));
    std::vector<CachingAllocator::Block> live;
    for (int i = 0; i < 5000; ++i) {
        if (live.size() < 40 && (live.empty() || random() % 100 < 55)) {
            live.push_back(a.allocate(random() % 2, 1 + static_cast<std::int64_t>(random() % (std::uint64_t{1} << (random() % 25)))));
        } else {
            std::swap(live[random() % live.size()], live.back());
            a.free(live.back());
            live.pop_back();
        }
        std::int64_t sum = 0;
        std::vector<std::pair<std::int64_t, std::int64_t>> ranges;
        for (const auto block : live) {
            sum += a.size_of(block);
            ranges.emplace_back(a.address_of(block), a.size_of(block));
        }
        std::ranges::sort(ranges);
        for (std::size_t k = 1; k < ranges.size(); ++k) ASSERT_LE(ranges[k - 1].first + ranges[k - 1].second, ranges[k].first);
        ASSERT_EQ(a.counters().allocated, sum);
        ASSERT_LE(a.counters().allocated, a.counters().reserved);
        ASSERT_LE(a.counters().reserved, 600 * kMiB + (a.out_of_memory() ? 600 * kMiB : 0));
    }
}

TEST(ExpandableSegments, ARequestThatNoDeviceHoldsIsRecordedAndGranted) {
    AllocatorSettings settings = expandable(100 * kMiB);
    settings.device_bytes = 128 * kMiB;
    CachingAllocator a(1, settings);
    const auto first = a.allocate(0, 40 * kMiB, 0);
    const auto whole = a.allocate(0, 300 * kMiB, 0);
    ASSERT_TRUE(a.out_of_memory());
    EXPECT_EQ(a.out_of_memory()->requested, 300 * kMiB);
    EXPECT_EQ(a.size_of(whole), 300 * kMiB);
    EXPECT_EQ(a.counters().reserved, 340 * kMiB);
    a.free(whole);
    a.free(first);
    EXPECT_EQ(a.counters().allocated, 0);
}

}  // namespace
}  // namespace zerosim::sim
