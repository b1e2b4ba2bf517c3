// A simulation of ranks that differ goes on until its steps do not.
#include "sim/simulate.hpp"
#include "sim/steady.hpp"
#include "small_schedules.hpp"

#include <gtest/gtest.h>

namespace zerosim::test {
namespace {

/// Steps of 100 ns of work, a gather of 30 ns, and 10 ns more; the host waits for the end of each, or never.
schedule::Schedule steps(bool host_waits) {
    schedule::Schedule schedule;
    SmallProgram program(schedule);
    const auto step = [&] {
        const OpId work = program.work(0, 100);
        const OpId last = program.work(0, 10, {program.gather(1, AxisId{0u}, 40, {work})});
        if (host_waits) program.builder.host_wait(program.streams[0], std::vector{last});
    };
    program.builder.begin_first();
    step();
    program.builder.begin_steady();
    step();
    program.builder.finish();
    add_roles(schedule, {4});
    add_axis(schedule, 4, 1);
    return schedule;
}

int simulated(const schedule::Schedule& schedule, const cluster::Cluster& cluster) {
    const trace::Trace trace = sim::simulate_until_steady(schedule, cluster, 3, 8);
    return trace.ranks.front().times.back().step;
}

trace::RankTrace rank_of(std::initializer_list<std::int64_t> lengths) {
    trace::RankTrace rank;
    std::int64_t now = 0;
    int step = 0;
    for (const std::int64_t length : lengths) {
        trace::OpTime row;
        row.step = ++step;
        row.issue = row.begin = now;
        row.end = now += length;
        rank.times.push_back(row);
    }
    return rank;
}

TEST(Steady, the_last_two_steps_decide_and_the_first_never_does) {
    EXPECT_TRUE(sim::is_steady(rank_of({9000, 1000, 1001}), 3));
    EXPECT_FALSE(sim::is_steady(rank_of({1000, 1000, 1010}), 3));
    EXPECT_TRUE(sim::is_steady(rank_of({1000, 1200, 1010, 1010}), 4));
    EXPECT_TRUE(sim::is_steady(rank_of({500, 1000}), 2)) << "the first step is another program";
}

TEST(Steady, equal_ranks_and_drawn_kernels_take_the_steps_that_were_asked_for) {
    cluster::Cluster cluster = unit_cluster();
    EXPECT_EQ(simulated(steps(false), cluster), 3);
    cluster.variation.jitter = 0.3;
    EXPECT_EQ(simulated(steps(false), cluster), 3);
}

TEST(Steady, slow_ranks_add_steps_until_two_agree_or_there_are_enough) {
    cluster::Cluster cluster = unit_cluster();
    cluster.variation.slow_ranks = {{2, 2, 1.5}};
    EXPECT_EQ(simulated(steps(true), cluster), 3);
    EXPECT_EQ(simulated(steps(false), cluster), 8) << "a host that never waits is ever further ahead";
}

TEST(Steady, statistics_are_those_of_the_last_step) {
    cluster::Cluster cluster = unit_cluster();
    cluster.variation.slow_ranks = {{2, 2, 1.5}};
    const schedule::Schedule schedule = steps(false);
    const trace::Trace longer = sim::simulate_until_steady(schedule, cluster, 3, 8), asked = sim::simulate(schedule, cluster, 8);
    ASSERT_EQ(longer.statistics.size(), asked.statistics.size());
    ASSERT_FALSE(longer.statistics.empty());
    for (std::size_t i = 0; i < longer.statistics.size(); ++i) {
        EXPECT_EQ(longer.statistics[i].waited, asked.statistics[i].waited);
        EXPECT_EQ(longer.statistics[i].caused, asked.statistics[i].caused);
        EXPECT_EQ(longer.statistics[i].busy, asked.statistics[i].busy);
        EXPECT_EQ(longer.ranks.front().times.size(), asked.ranks.front().times.size());
    }
}

} // namespace
} // namespace zerosim::test
