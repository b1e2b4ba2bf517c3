// sim::LinkLoad: collectives of different communicators share links; those issued first are served first.
#include "sim/link_load.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

namespace zerosim::sim {
namespace {

std::int64_t place(LinkLoad& load, std::int64_t begin, std::int64_t alone, LinkDemand demand) {
    const std::int64_t end = load.end_of(begin, alone, demand);
    load.add(begin, end, demand);
    return end;
}

TEST(LinkLoad, one_at_a_time_takes_its_time) {
    LinkLoad load;
    EXPECT_EQ(place(load, 100, 50, {1, 0}), 150);
    EXPECT_EQ(place(load, 150, 50, {1, 0}), 200);
    EXPECT_EQ(place(load, 20, 50, {1, 0}), 70);
}

TEST(LinkLoad, a_full_link_is_served_in_order_of_issue) {
    LinkLoad load;
    EXPECT_EQ(place(load, 100, 50, {1, 0}), 150);
    EXPECT_EQ(place(load, 80, 60, {1, 0}), 190) << "20 before, 50 blocked, 40 after";
    EXPECT_EQ(place(load, 90, 10, {1, 0}), 200) << "behind both";
}

TEST(LinkLoad, different_links_do_not_disturb_each_other) {
    LinkLoad load;
    EXPECT_EQ(place(load, 0, 100, {1, 0}), 100);
    EXPECT_EQ(place(load, 0, 100, {0, 1}), 100);
    EXPECT_EQ(place(load, 0, 100, {0.1, 0}), 200);
}

TEST(LinkLoad, what_is_left_of_a_link_is_used) {
    LinkLoad load;
    EXPECT_EQ(place(load, 0, 100, {0.75, 0}), 100);
    EXPECT_EQ(place(load, 0, 50, {0.25, 0}), 50) << "both fit";
    EXPECT_EQ(place(load, 50, 100, {1, 0}), 50 + 50 + 88) << "a quarter of 50 ns, then alone: 12.5 of 100 moved";
}

/// Nanosecond by nanosecond: every transfer that has begun gets what those before it in the list leave.
std::vector<double> ends_by_ticks(const std::vector<std::int64_t>& begins, const std::vector<std::int64_t>& alone, const std::vector<LinkDemand>& demands) {
    std::vector<double> left(alone.begin(), alone.end()), ends(alone.size(), -1);
    for (std::int64_t now = 0; std::ranges::any_of(ends, [](double end) { return end < 0; }); ++now) {
        double nvlink = 0, network = 0;
        for (std::size_t i = 0; i < alone.size(); ++i) {
            if (now < begins[i] || ends[i] >= 0) continue;
            double pace = 1;
            if (demands[i].nvlink > 0) pace = std::min(pace, std::max(0.0, 1 - nvlink) / demands[i].nvlink);
            if (demands[i].network > 0) pace = std::min(pace, std::max(0.0, 1 - network) / demands[i].network);
            if (left[i] <= pace) ends[i] = static_cast<double>(now) + (pace > 0 ? left[i] / pace : 0);
            left[i] -= pace;
            nvlink += pace * demands[i].nvlink;
            network += pace * demands[i].network;
        }
    }
    return ends;
}

RC_GTEST_PROP(LinkLoadOracle, agrees_with_a_simulation_tick_by_tick, ()) {
    constexpr std::array shares{0.0, 0.25, 0.5, 0.75, 1.0};
    const auto count = *rc::gen::inRange<std::size_t>(1, 6);
    std::vector<std::int64_t> begins, alone;
    std::vector<LinkDemand> demands;
    LinkLoad load;
    std::vector<std::int64_t> ends;
    for (std::size_t i = 0; i < count; ++i) {
        begins.push_back(*rc::gen::inRange<std::int64_t>(0, 400));
        alone.push_back(*rc::gen::inRange<std::int64_t>(1, 300));
        demands.push_back({shares[*rc::gen::inRange<std::size_t>(0, 5)], shares[*rc::gen::inRange<std::size_t>(0, 5)]});
        ends.push_back(place(load, begins.back(), alone.back(), demands.back()));
    }
    const std::vector<double> expected = ends_by_ticks(begins, alone, demands);
    // Ends are whole nanoseconds in one and fall inside a tick in the other: up to a tick for each that was placed before, at the
    // least share of a link.
    for (std::size_t i = 0; i < count; ++i) RC_ASSERT(std::abs(static_cast<double>(ends[i]) - expected[i]) <= 8.0 * static_cast<double>(i + 1));
}

} // namespace
} // namespace zerosim::sim
