#include "device/workers.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <numeric>
#include <thread>
#include <vector>

namespace zerosim::device {
namespace {

class WorkersOf : public testing::TestWithParam<int> {};

TEST_P(WorkersOf, RunsEveryPartOnceAndItsWritesAreSeen) {
    Workers workers(GetParam());
    EXPECT_EQ(workers.threads(), GetParam());
    for (int repeat = 0; repeat < 2000; ++repeat) {
        const int parts = repeat % 9;
        std::array<int, 9> calls{};
        workers.run(parts, [&](int part) { ++calls[static_cast<std::size_t>(part)]; });
        for (int part = 0; part < 9; ++part) ASSERT_EQ(calls[static_cast<std::size_t>(part)], part < parts ? 1 : 0) << repeat;
    }
}

TEST_P(WorkersOf, WakesThreadsThatWentToSleep) {
    Workers workers(GetParam());
    for (int repeat = 0; repeat < 5; ++repeat) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        std::atomic<int> sum{0};
        workers.run(100, [&](int part) { sum += part; });
        EXPECT_EQ(sum, 4950);
    }
}

TEST_P(WorkersOf, ParallelForCoversTheRangeInOrderedChunks) {
    Workers workers(GetParam());
    for (std::int64_t count : {0, 1, 2, 3, 7, 64, 1001}) {
        for (std::int64_t grain : {1, 10, 5000}) {
            std::vector<int> seen(static_cast<std::size_t>(count));
            std::atomic<int> chunks{0};
            parallel_for(&workers, count, grain, [&](std::int64_t begin, std::int64_t end) {
                ++chunks;
                EXPECT_LT(begin, end);
                EXPECT_TRUE(end - begin >= grain || chunks == 1) << count << " by " << grain;
                for (std::int64_t i = begin; i < end; ++i) ++seen[static_cast<std::size_t>(i)];
            });
            EXPECT_EQ(std::accumulate(seen.begin(), seen.end(), 0), count);
            EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
            EXPECT_LE(chunks, GetParam());
        }
    }
}

INSTANTIATE_TEST_SUITE_P(Threads, WorkersOf, testing::Values(1, 2, 3));

TEST(Workers, ReallyRunOnSeveralThreadsAtATime) {
    Workers workers(2);
    // Each part waits for the other: on one thread this would never end.
    std::atomic<int> arrived{0};
    workers.run(2, [&](int) {
        ++arrived;
        while (arrived < 2) std::this_thread::yield();
    });
    EXPECT_EQ(arrived, 2);
}

TEST(Workers, ParallelForWithoutWorkersRunsInline) {
    const auto caller = std::this_thread::get_id();
    std::int64_t covered = 0;
    parallel_for(nullptr, 10, 1, [&](std::int64_t begin, std::int64_t end) {
        EXPECT_EQ(std::this_thread::get_id(), caller);
        covered += end - begin;
    });
    EXPECT_EQ(covered, 10);
}

} // namespace
} // namespace zerosim::device
