#include "trace/clock.hpp"

#include "trace/matching.hpp"
#include "unit/analysis/hand_made.hpp"

#include <gtest/gtest.h>

namespace zerosim::trace {
namespace {

TEST(Matching, JoinsTheKthCollectiveOfAGroup) {
    const auto example = hand_made::example();
    const auto matched = match_collectives(example.schedule, hand_made::measured(example.ops));
    ASSERT_EQ(matched.size(), 9u);   // three in each of three steps
    for (std::size_t i = 0; i < matched.size(); ++i) {
        EXPECT_EQ(matched[i].step, static_cast<std::int32_t>(1 + i / 3));
        EXPECT_EQ(matched[i].members.size(), 2u);
    }
}

TEST(Matching, GroupsOfAnAxisStayApart) {
    auto example = hand_made::example();
    example.schedule.axes[0].size = 1;   // two groups of one rank
    const auto matched = match_collectives(example.schedule, hand_made::measured(example.ops));
    EXPECT_EQ(matched.size(), 18u);
    for (const MatchedCollective& collective : matched) EXPECT_EQ(collective.members.size(), 1u);
}

TEST(Clock, FindsASkewFromTheEndsOfCollectives) {
    const auto example = hand_made::example();
    Trace trace = hand_made::measured(example.ops, 1'000'000'000);
    trace.ranks[1].clock_offset = 0;   // not known
    const OffsetBounds bounds = offset_bounds(example.schedule, trace, 1);
    EXPECT_EQ(bounds.collectives, 9);
    EXPECT_EQ(bounds.estimate, 1'000'000'000);
    EXPECT_LE(bounds.low, bounds.estimate);
    EXPECT_GE(bounds.high, bounds.estimate);
    EXPECT_LT(bounds.high - bounds.low, 100);   // the norm takes 14 ns
    align_clocks(example.schedule, trace);
    EXPECT_EQ(trace.ranks[1].clock_offset, 1'000'000'000);
    EXPECT_EQ(trace.ranks[0].clock_offset, 0);
}

TEST(Clock, KeepsAnOffsetThatCausalityAllows) {
    const auto example = hand_made::example();
    Trace trace = hand_made::measured(example.ops, 0);
    trace.ranks[1].clock_offset = 5;   // a ping-pong's estimate, within the 14 ns of the norm
    align_clocks(example.schedule, trace);
    EXPECT_EQ(trace.ranks[1].clock_offset, 5);
    trace.ranks[1].clock_offset = 500;
    align_clocks(example.schedule, trace);
    EXPECT_EQ(trace.ranks[1].clock_offset, 0);
}

TEST(Clock, SimulatedAndBroadcastTellNothing) {
    auto example = hand_made::example();
    Trace trace = hand_made::measured(example.ops, 1000);
    trace.ranks[1].clock_offset = 0;
    for (auto& collective : example.schedule.programs[0].collectives) collective.kind = CollectiveKind::broadcast;
    align_clocks(example.schedule, trace);
    EXPECT_EQ(trace.ranks[1].clock_offset, 0);   // a broadcast's members need not meet
    EXPECT_EQ(offset_bounds(example.schedule, trace, 1).collectives, 0);
    trace.simulated = true;
    align_clocks(hand_made::example().schedule, trace);
    EXPECT_EQ(trace.ranks[1].clock_offset, 0);
}

}  // namespace
}  // namespace zerosim::trace
