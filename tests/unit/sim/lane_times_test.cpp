// Loops over all lanes against the same by hand, for sizes around those of vector registers; lanes that are kin.
#include "base/rng.hpp"
#include "sim/lane_times.hpp"
#include "sim/lanes.hpp"
#include "small_schedules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace zerosim::test {
namespace {

sim::Times some_times(std::size_t lanes, std::uint64_t seed) {
    sim::Times times;
    for (std::size_t lane = 0; lane < lanes; ++lane) times.push_back(static_cast<std::int64_t>(hash64(seed, lane) % (std::uint64_t{1} << 40)));
    return times;
}

TEST(LaneTimes, are_the_same_as_lane_by_lane) {
    for (std::size_t lanes = 1; lanes <= 70; ++lanes) {
        const sim::Times a = some_times(lanes, 1), b = some_times(lanes, 2);
        sim::Times raised = a, later(lanes), ends(lanes), sums = a;
        sim::raise(raised, b, 1000);
        sim::latest(later, a, b, 77);
        sim::add(ends, a, b);
        const std::int64_t total = sim::add_differences(sums, 0, 5, b);
        std::int64_t expected = 0;
        for (std::size_t lane = 0; lane < lanes; ++lane) {
            EXPECT_EQ(raised[lane], std::max(a[lane], b[lane] - 1000));
            EXPECT_EQ(later[lane], std::max(a[lane], b[lane] + 77));
            EXPECT_EQ(ends[lane], a[lane] + b[lane]);
            EXPECT_EQ(sums[lane], a[lane] + 5 - b[lane]);
            expected += 5 - b[lane];
        }
        EXPECT_EQ(total, expected);
        const sim::Latest last = sim::latest(a);
        EXPECT_EQ(last.time, *std::ranges::max_element(a));
        EXPECT_EQ(last.lane, static_cast<std::uint32_t>(std::ranges::max_element(a) - a.begin())) << "the first of equals";
    }
    EXPECT_EQ(sim::latest(sim::Times{3, 9, 9}).lane, 1u);
}

TEST(LaneTimes, durations_are_rounded_to_the_nearest) {
    EXPECT_EQ(sim::rounded(0), 0);
    EXPECT_EQ(sim::rounded(2.4999), 2);
    EXPECT_EQ(sim::rounded(2.5), 3);
    EXPECT_EQ(sim::rounded(1e15 + 0.5), 1'000'000'000'000'001);
}

/// A program that communicates on the axes of `used`.
schedule::Schedule communicates_on(std::initializer_list<std::uint32_t> used) {
    schedule::Schedule schedule;
    SmallProgram program(schedule);
    for (const std::uint32_t axis : used) program.gather(1, AxisId{axis}, 60);
    program.builder.finish();
    add_roles(schedule, {8});
    return schedule;
}

TEST(Lanes, kin_share_every_group_that_is_used) {
    schedule::Schedule one = communicates_on({0});
    add_axis(one, 8, 1);
    add_axis(one, 2, 4);
    EXPECT_EQ(sim::lanes(one, true).kin[0].first.size(), 1u) << "nobody communicates on the second axis";

    schedule::Schedule halves = communicates_on({0});
    add_axis(halves, 4, 1);
    EXPECT_THAT(sim::lanes(halves, true).kin[0].of_lane, testing::ElementsAre(0, 0, 0, 0, 1, 1, 1, 1));
    EXPECT_THAT(sim::lanes(halves, true).kin[0].first, testing::ElementsAre(0, 4));

    schedule::Schedule hybrid = communicates_on({0, 1});
    add_axis(hybrid, 4, 1);
    add_axis(hybrid, 2, 4);
    EXPECT_EQ(sim::lanes(hybrid, true).kin[0].first.size(), 8u) << "sharded and replicated: no two ranks share both groups";
    EXPECT_EQ(sim::lanes(hybrid, false).kin[0].first.size(), 1u);
}

} // namespace
} // namespace zerosim::test
