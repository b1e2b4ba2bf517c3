// Collectives of CPU clusters: the closed step-level forms on links of round numbers, and which algorithm costs least where.
#include "cost/host_collectives.hpp"

#include "cost/cost.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace zerosim::cost {
namespace {

using cluster::Cluster;
using cluster::HostAlgorithm;
using enum CollectiveKind;

/// 1 us and 10 GB/s within a node of 64, 20 us and 1 GB/s a rank between nodes; sums are free.
Cluster hosts(HostAlgorithm algorithm, std::int64_t per_node = 64) {
    Cluster cluster;
    cluster.name = "hosts";
    cluster.device.is_cpu = true;
    cluster.devices_per_node = per_node;
    cluster.intra_node = {1e-6, 10e9, 1.0};
    cluster.network = {20e-6, 1e9, 1.0};
    cluster.transport.algorithm = algorithm;
    return cluster;
}

double seconds(CollectiveKind kind, std::int64_t bytes, std::int64_t ranks, const Cluster& cluster) {
    return collective_seconds(kind, bytes, ranks, 1, cluster, ranks);
}

// alpha = 1 us, beta = 0.1 ns a byte; S = 8 MB.
TEST(HostCollectives, step_forms_within_a_node) {
    const Cluster ring = hosts(HostAlgorithm::ring), recursive = hosts(HostAlgorithm::recursive), bruck = hosts(HostAlgorithm::bruck);
    EXPECT_DOUBLE_EQ(seconds(all_gather, 8'000'000, 8, ring), 7 * (1e-6 + 1e6 * 0.1e-9));
    EXPECT_DOUBLE_EQ(seconds(all_reduce, 8'000'000, 8, ring), 14 * (1e-6 + 1e6 * 0.1e-9));
    EXPECT_NEAR(seconds(reduce_scatter, 8'000'000, 8, recursive), 3e-6 + 7e6 * 0.1e-9, 1e-15) << "log2(n) alpha + S (n-1)/n beta";
    EXPECT_NEAR(seconds(all_reduce, 8'000'000, 8, recursive), 2 * (3e-6 + 7e6 * 0.1e-9), 1e-15);
    EXPECT_NEAR(seconds(all_gather, 8'000'000, 8, bruck), 3e-6 + 7e6 * 0.1e-9, 1e-15);
    EXPECT_NEAR(seconds(all_gather, 5'000'000, 5, bruck), 3e-6 + 4e6 * 0.1e-9, 1e-15) << "slices 1, 2, 1 of 5 ranks in ceil(log2 5) steps";
    EXPECT_NEAR(seconds(all_to_all, 8'000'000, 8, bruck), 3 * (1e-6 + 4e6 * 0.1e-9), 1e-15) << "half of it in each step";
}

TEST(HostCollectives, a_broadcast_is_a_chain_and_two_ranks_copy_one_way) {
    const Cluster cluster = hosts(HostAlgorithm::exchange);
    EXPECT_DOUBLE_EQ(seconds(broadcast, 1'000'000, 2, cluster), (1e-6 + 1e6 * 0.1e-9) * 0.7);
    EXPECT_DOUBLE_EQ(seconds(broadcast, 1'000'000, 5, cluster), 3 * 1e-6 + 1e-6 + 1e6 * 0.1e-9);
}

TEST(HostCollectives, one_root_has_the_messages_of_all_and_a_ring_of_sends_one_step) {
    Cluster cluster = hosts(HostAlgorithm::exchange);
    const double slice = (1e-6 + 1e6 * 0.1e-9) * 0.7;
    EXPECT_NEAR(seconds(gather, 4'000'000, 4, cluster), 3 * slice, 1e-15) << "one way";
    EXPECT_NEAR(seconds(scatter, 4'000'000, 4, cluster), 3 * slice, 1e-15);
    EXPECT_NEAR(seconds(send_recv, 4'000'000, 4, cluster), 1e-6 + 4e6 * 0.1e-9, 1e-15);
    EXPECT_NEAR(seconds(reduce, 4'000'000, 4, cluster), 3 * (1e-6 + 1e6 * 0.1e-9) + 3 * slice, 1e-15) << "the own slice from all, then the sums to the root";
    EXPECT_NEAR(seconds(reduce, 4'000, 4, cluster), 3 * (1e-6 + 4e3 * 0.1e-9) * 0.7, 1e-15) << "small: all of it, to the root";
    // 2 nodes of 4: the root's node takes four slices with all its cards, one after the other.
    EXPECT_NEAR(seconds(gather, 8'000'000, 8, hosts(HostAlgorithm::exchange, 4)), 4 * (20e-6 + 1e6 / 4e9), 1e-12);
    for (const HostAlgorithm algorithm : {HostAlgorithm::ring, HostAlgorithm::recursive, HostAlgorithm::bruck, HostAlgorithm::hierarchical})
        for (const auto kind : {reduce, gather, scatter, send_recv})
            EXPECT_DOUBLE_EQ(seconds(kind, 4'000'000, 4, hosts(algorithm)), seconds(kind, 4'000'000, 4, cluster)) << "the textbook forms are of other kinds";
}

TEST(HostCollectives, ranks_beyond_a_power_of_two_are_folded_in) {
    const Cluster recursive = hosts(HostAlgorithm::recursive);
    const double four = seconds(all_gather, 8'000'000, 4, recursive), fold = 1e-6 + 8e6 * 0.1e-9;
    EXPECT_NEAR(seconds(all_gather, 8'000'000, 6, recursive), four + fold, 1e-15);
    EXPECT_NEAR(seconds(all_reduce, 8'000'000, 6, recursive), seconds(all_reduce, 8'000'000, 4, recursive) + 2 * fold, 1e-15);
}

TEST(HostCollectives, sums_are_charged_to_the_rank_that_adds) {
    Cluster ring = hosts(HostAlgorithm::ring), exchange = hosts(HostAlgorithm::exchange);
    const double free = seconds(reduce_scatter, 8'000'000, 8, ring);
    ring.reduction_bytes_per_second = exchange.reduction_bytes_per_second = 10e9;
    EXPECT_NEAR(seconds(reduce_scatter, 8'000'000, 8, ring), free + 14e6 * 0.1e-9, 1e-15) << "two reads a step";
    EXPECT_NEAR(seconds(reduce_scatter, 8'000'000, 8, exchange), 7 * (1e-6 + 1e6 * 0.1e-9) + 8e6 * 0.1e-9, 1e-15) << "all peers at once";
}

TEST(HostCollectives, a_hierarchy_sends_less_over_the_network) {
    const Cluster flat = hosts(HostAlgorithm::exchange, 8), levels = hosts(HostAlgorithm::hierarchical, 8);
    // 4 nodes of 8: each rank sends an eighth of the message to 3 others over the network, and seven eighths within.
    const double inside = 7 * (1e-6 + 1e6 * 0.1e-9), outside = 3 * 20e-6 + 3 * 0.25e6 * 1e-9;
    EXPECT_NEAR(seconds(all_gather, 8'000'000, 32, levels), inside + outside, 1e-12);
    EXPECT_NEAR(seconds(all_reduce, 8'000'000, 32, levels), 2 * (inside + outside), 1e-12);
    EXPECT_LT(seconds(all_reduce, 8'000'000, 32, levels), seconds(all_reduce, 8'000'000, 32, flat));
    EXPECT_DOUBLE_EQ(seconds(all_reduce, 8'000'000, 8, levels), seconds(all_reduce, 8'000'000, 8, flat)) << "one node has no levels";
}

TEST(HostCollectives, fastest_is_never_slower_than_any_and_says_which) {
    const HostAlgorithm all[] = {HostAlgorithm::exchange, HostAlgorithm::ring, HostAlgorithm::recursive, HostAlgorithm::bruck,
                                 HostAlgorithm::hierarchical};
    for (const std::int64_t per_node : {64, 8})
        for (const auto kind : kCollectiveKinds)
            for (const std::int64_t ranks : {2, 3, 7, 16, 48})
                for (const std::int64_t bytes : {64, 65536, 1 << 24}) {
                    double least = 1e300;
                    for (const HostAlgorithm algorithm : all) least = std::min(least, seconds(kind, bytes, ranks, hosts(algorithm, per_node)));
                    EXPECT_DOUBLE_EQ(seconds(kind, bytes, ranks, hosts(HostAlgorithm::fastest, per_node)), least);
                }
    const Cluster fastest = hosts(HostAlgorithm::fastest, 8);
    EXPECT_EQ(collective_choice(all_reduce, 8'000'000, 32, 1, fastest).algorithm, Algorithm::hierarchical);
    EXPECT_EQ(collective_choice(all_gather, 64, 8, 1, fastest).algorithm, Algorithm::recursive) << "3 messages instead of 7";
}

TEST(HostCollectives, long_messages_are_announced_and_large_buffers_leave_the_cache) {
    Cluster cluster = hosts(HostAlgorithm::exchange);
    cluster.transport = {HostAlgorithm::exchange, 4000, 2e-6, 30'000'000, 5e9};
    EXPECT_DOUBLE_EQ(seconds(all_gather, 4'000, 2, cluster), 1e-6 + 2000 * 0.1e-9);
    EXPECT_DOUBLE_EQ(seconds(all_gather, 10'000, 2, cluster), 1e-6 + 2e-6 + 5000 * 0.1e-9);
    // 40 MB: two ranks hold 40 + 20 each, 120 together, of which a quarter fits.
    EXPECT_NEAR(seconds(all_gather, 40'000'000, 2, cluster), 3e-6 + 20e6 * (0.25 * 0.1e-9 + 0.75 * 0.2e-9), 1e-12);
}

} // namespace
} // namespace zerosim::cost
