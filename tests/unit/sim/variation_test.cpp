// Ranks that are not alike: jitter, slow ranks, slow and failed links, each with a clock of its own.
#include "base/error.hpp"
#include "sim/rank_variation.hpp"
#include "sim/simulate.hpp"
#include "sim/timing.hpp"
#include "small_schedules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace zerosim::test {
namespace {

using cluster::LinkTier;
using schedule::Schedule;

/// work of 100 ns, a gather of 30 ns over the axis, work of 10 ns that needs it.
Schedule work_and_gather(std::int64_t ranks, std::int64_t group, std::int64_t stride = 1) {
    Schedule schedule;
    SmallProgram program(schedule);
    const OpId work = program.work(0, 100);
    const OpId gather = program.gather(1, AxisId{0u}, 30 * group / (group - 1), {work});
    program.work(0, 10, {gather});
    program.builder.finish();
    add_roles(schedule, {ranks});
    add_axis(schedule, group, stride);
    return schedule;
}

std::int64_t end_of_step(const trace::Trace& trace, std::int64_t rank) {
    for (const trace::RankTrace& r : trace.ranks)
        if (r.rank == rank) return r.times.back().end;
    return -1;
}

TEST(Lognormal, has_mean_one_and_the_asked_spread) {
    const sim::Lognormal draw(0.2);
    double sum = 0, squares = 0;
    constexpr int n = 200'000;
    for (int i = 0; i < n; ++i) {
        const double factor = draw.at(hash64(7, static_cast<std::uint64_t>(i)));
        sum += factor;
        squares += factor * factor;
    }
    const double mean = sum / n;
    EXPECT_NEAR(mean, 1, 0.002);
    EXPECT_NEAR(std::sqrt(squares / n - mean * mean), 0.2, 0.003);
}

TEST(Lognormal, its_table_is_its_formula) {
    const sim::Lognormal draw(0.1);
    for (std::uint64_t i = 0; i < 20'000; ++i) EXPECT_NEAR(draw.at(hash64(i)), draw.exact(hash64(i)), 1e-4);
    EXPECT_NEAR(sim::normal_quantile(0.975), 1.959963984540054, 1e-12);
    EXPECT_NEAR(sim::normal_quantile(1e-9), -5.997807015007687, 1e-9);
}

TEST(Variation, a_slow_rank_holds_up_its_group_and_is_named) {
    cluster::Cluster cluster = unit_cluster();
    cluster.variation.slow_ranks = {{2, 2, 1.5}};
    const trace::Trace trace = sim::simulate(work_and_gather(4, 4), cluster, 1);
    ASSERT_EQ(trace.ranks.size(), 4u);
    EXPECT_EQ(end_of_step(trace, 0), 150 + 30 + 10);
    EXPECT_EQ(end_of_step(trace, 2), 150 + 30 + 15);
    ASSERT_EQ(trace.statistics.size(), 4u);
    EXPECT_EQ(trace.statistics[2].waited, 0);
    EXPECT_EQ(trace.statistics[2].caused, 50);
    EXPECT_EQ(trace.statistics[2].last, 1);
    EXPECT_EQ(trace.statistics[2].busy, 165);
    EXPECT_EQ(trace.statistics[0].waited, 50);
    EXPECT_EQ(trace.statistics[0].caused, 0);
    EXPECT_THAT(trace.ranks[1].last_arrivals, testing::ElementsAre(150));
}

TEST(Variation, other_groups_do_not_wait) {
    cluster::Cluster cluster = unit_cluster();
    cluster.variation.slow_ranks = {{3, 3, 2}};
    const trace::Trace neighbours = sim::simulate(work_and_gather(8, 2), cluster, 1);   // {2, 3}
    for (const std::int64_t rank : {0, 1, 4, 5, 6, 7}) EXPECT_EQ(end_of_step(neighbours, rank), 140);
    EXPECT_EQ(end_of_step(neighbours, 2), 240);
    const trace::Trace strided = sim::simulate(work_and_gather(8, 2, 4), cluster, 1);   // {3, 7}
    EXPECT_EQ(end_of_step(strided, 2), 140);
    EXPECT_EQ(end_of_step(strided, 7), 240);
}

TEST(Variation, a_slow_link_slows_the_collectives_of_its_groups) {
    cluster::Cluster cluster = unit_cluster();
    cluster.variation.links = {{LinkTier::nvlink, 5, 5, 0.5}};
    const trace::Trace trace = sim::simulate(work_and_gather(8, 4), cluster, 1);
    EXPECT_EQ(end_of_step(trace, 0), 140);
    EXPECT_EQ(end_of_step(trace, 4), 170);
    cluster.variation.links = {{LinkTier::network, 5, 5, 0.5}};   // its collectives stay on the node
    EXPECT_EQ(end_of_step(sim::simulate(work_and_gather(8, 4), cluster, 1), 4), 140);
}

TEST(Variation, failed_cards_leave_their_traffic_to_the_others_of_the_node) {
    cluster::Cluster cluster = unit_cluster();
    cluster.devices_per_node = 4;
    cluster.network.bytes_per_second = 1e9;
    cluster.variation.links = {{LinkTier::network, 4, 4, 0}};
    const auto shares = sim::link_shares(cluster, 8);
    for (std::int64_t rank = 0; rank < 8; ++rank) EXPECT_EQ(shares[static_cast<std::size_t>(rank)].network, rank < 4 ? 1.0 : 0.75);
    cluster.variation.links = {{LinkTier::network, 4, 7, 0}};
    EXPECT_THROW((void)sim::link_shares(cluster, 8), ConfigError);
    cluster.variation.links = {{LinkTier::network, 0, 3, 0}};
    EXPECT_EQ(sim::link_shares(cluster, 4)[0].network, 0) << "one node asks nothing of its cards";
    cluster.fabric.devices_apart = true;
    EXPECT_THROW((void)sim::link_shares(cluster, 4), ConfigError) << "but where its devices are forced over the network";
}

TEST(Variation, without_nvlink_a_device_goes_over_pcie) {
    cluster::Cluster cluster = unit_cluster();
    cluster.variation.links = {{LinkTier::nvlink, 1, 1, 0}};
    EXPECT_THROW((void)sim::link_shares(cluster, 4), ConfigError) << "this cluster has no PCIe link";
    cluster.host_link.bytes_per_second = 0.1e9;
    EXPECT_DOUBLE_EQ(sim::link_shares(cluster, 4)[1].nvlink, 0.1);
    EXPECT_EQ(sim::link_shares(cluster, 4)[0].nvlink, 1);
    EXPECT_EQ(end_of_step(sim::simulate(work_and_gather(4, 4), cluster, 1), 0), 100 + 300 + 10);
}

TEST(Variation, a_failed_link_of_a_pair_is_missed_by_the_groups_with_both) {
    cluster::Cluster cluster = unit_cluster();
    cluster.devices_per_node = 8;
    cluster.fabric.wiring = cluster::Wiring::full_mesh;
    cluster.variation.every_rank = true;
    const auto end = [&](std::int64_t rank) { return end_of_step(sim::simulate(work_and_gather(8, 4), cluster, 1), rank); };
    const std::int64_t whole = end(0);
    cluster.variation.pairs = {{4, 6}};
    EXPECT_EQ(end(0), whole);
    EXPECT_EQ(end(4), 100 + (whole - 100 - 10) * 3 / 2 + 10) << "2 of 3 links are left";
    cluster.variation.pairs = {{3, 6}};
    EXPECT_EQ(end(4), whole) << "no group has both";
}

TEST(Variation, jitter_is_a_function_of_the_seed_and_makes_ranks_wait) {
    cluster::Cluster cluster = unit_cluster();
    cluster.variation.jitter = 0.2;
    const Schedule schedule = work_and_gather(100, 100);
    const auto ends = [&](std::uint64_t seed) {
        cluster.variation.seed = seed;
        std::vector<std::int64_t> result;
        for (const trace::RankTrace& rank : sim::simulate(schedule, cluster, 3).ranks)
            for (const trace::OpTime& row : rank.times) result.push_back(row.end);
        return result;
    };
    EXPECT_EQ(ends(1), ends(1));
    EXPECT_NE(ends(1), ends(2));
    const trace::Trace trace = sim::simulate(schedule, cluster, 3);
    EXPECT_LE(trace.ranks.size(), 8u) << "of many ranks a few are kept";
    EXPECT_EQ(trace.statistics.size(), 100u) << "and statistics of all";
    std::int64_t waited = 0, caused = 0;
    for (const trace::RankStatistics& rank : trace.statistics) {
        waited += rank.waited;
        caused += rank.caused;
    }
    EXPECT_GT(end_of_step(trace, 0), 3 * 140);
    EXPECT_NEAR(static_cast<double>(waited) / 99, static_cast<double>(caused), 2) << "what ranks wait, someone has caused";
}

TEST(Variation, ranks_that_the_job_lacks_are_refused) {
    cluster::Cluster cluster = unit_cluster();
    cluster.variation.slow_ranks = {{4, 4, 1.1}};
    EXPECT_THROW((void)sim::simulate(work_and_gather(4, 4), cluster, 1), ConfigError);
}

} // namespace
} // namespace zerosim::test
