// cost::collective_seconds: the closed formulas on links of round numbers, then published sweeps on the shipped clusters.
#include "base/error.hpp"
#include "config/cluster_file.hpp"
#include "cost/cost.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace zerosim::cost {
namespace {

using cluster::Cluster;
using enum CollectiveKind;

/// 4 devices a node; 1 us and 100 GB/s within, 10 us and 10 GB/s a device across, 5 us a launch.
Cluster round_numbers() {
    Cluster cluster;
    cluster.name = "round";
    cluster.devices_per_node = 4;
    cluster.intra_node = {1e-6, 200e9, 0.5};
    cluster.network = {10e-6, 20e9, 0.5};
    cluster.collective_launch_seconds = 5e-6;
    return cluster;
}

TEST(CollectiveCost, a_ring_within_a_node) {
    const Cluster cluster = round_numbers();
    EXPECT_DOUBLE_EQ(collective_seconds(all_gather, 400'000'000, 4, 1, cluster), 5e-6 + 3e-6 + 3e-3);
    EXPECT_DOUBLE_EQ(collective_seconds(reduce_scatter, 400'000'000, 4, 1, cluster), 5e-6 + 3e-6 + 3e-3);
    EXPECT_DOUBLE_EQ(collective_seconds(all_reduce, 400'000'000, 4, 1, cluster), 5e-6 + 6e-6 + 6e-3);
    EXPECT_DOUBLE_EQ(collective_seconds(broadcast, 400'000'000, 4, 1, cluster), 5e-6 + 3e-6 + 4e-3);
    EXPECT_DOUBLE_EQ(collective_seconds(all_to_all, 400'000'000, 4, 1, cluster), 5e-6 + 1e-6 + 3e-3);
}

TEST(CollectiveCost, nobody_to_talk_to_or_free_communication_costs_nothing) {
    Cluster cluster = round_numbers();
    EXPECT_EQ(collective_seconds(all_reduce, 1 << 30, 1, 1, cluster), 0.0);
    cluster.free_communication = true;
    EXPECT_EQ(collective_seconds(all_reduce, 1 << 30, 8, 1, cluster), 0.0);
}

TEST(CollectiveCost, a_ring_over_nodes_has_all_their_network_cards) {
    const Cluster cluster = round_numbers();
    // 8 ranks, 2 nodes: 6 hops within, 1 across; min(100, 4 * 10) GB/s.
    EXPECT_DOUBLE_EQ(collective_seconds(all_gather, 320'000'000, 8, 1, cluster), 5e-6 + 6e-6 + 10e-6 + 280e6 / 40e9);
    // Every second rank: 2 a node, and the other group uses the other two cards.
    EXPECT_DOUBLE_EQ(collective_seconds(all_gather, 320'000'000, 4, 2, cluster), 5e-6 + 2e-6 + 10e-6 + 240e6 / 20e9);
    // One rank a node: its own card, though the links within are faster.
    EXPECT_DOUBLE_EQ(collective_seconds(all_gather, 320'000'000, 2, 4, cluster), 5e-6 + 10e-6 + 160e6 / 10e9);
}

TEST(CollectiveCost, small_all_reduces_over_many_nodes_go_up_a_tree) {
    const Cluster cluster = round_numbers();
    const double scalar = collective_seconds(all_reduce, 4, 4 * 1024, 1, cluster);
    EXPECT_NEAR(scalar, 5e-6 + 2 * (3e-6 + 10 * 10e-6), 1e-9);
    EXPECT_LT(scalar, collective_seconds(all_gather, 4, 4 * 1024, 1, cluster));
}

TEST(CollectiveCost, host_ranks_exchange_then_add) {
    Cluster cluster = round_numbers();
    cluster.device.is_cpu = true;
    cluster.reduction_bytes_per_second = 50e9;
    const double exchange = collective_seconds(all_to_all, 400'000'000, 4, 1, cluster);
    EXPECT_DOUBLE_EQ(exchange, 5e-6 + 3e-6 + 3e-3) << "a latency for every message";
    EXPECT_DOUBLE_EQ(collective_seconds(reduce_scatter, 400'000'000, 4, 1, cluster), exchange + 8e-3);
    EXPECT_DOUBLE_EQ(collective_seconds(all_reduce, 400'000'000, 4, 1, cluster),
                     exchange + 8e-3 + collective_seconds(all_gather, 400'000'000, 4, 1, cluster));
    EXPECT_DOUBLE_EQ(collective_seconds(all_reduce, 100, 4, 1, cluster),
                     collective_seconds(all_gather, 400, 4, 1, cluster) + 400 / 50e9)
        << "a scalar's: one exchange, summed by every rank";
}

TEST(CollectiveCost, ranks_that_outnumber_the_cores_share_them) {
    Cluster cluster = round_numbers();
    cluster.device.is_cpu = true;
    cluster.cores = 2;
    const double alone = collective_seconds(all_gather, 1 << 20, 2, 1, cluster);
    EXPECT_DOUBLE_EQ(collective_seconds(all_gather, 1 << 20, 2, 1, cluster, 4), 2 * alone) << "two such groups on two cores";
}

TEST(CollectiveCost, nodes_without_a_network_are_refused_by_name) {
    Cluster cluster = round_numbers();
    cluster.network = {};
    EXPECT_NO_THROW((void)collective_seconds(all_gather, 1024, 4, 1, cluster));
    try {
        (void)collective_seconds(all_gather, 1024, 8, 1, cluster);
        FAIL();
    } catch (const ConfigError& error) {
        EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("'round'"), testing::HasSubstr("network.gigabits-per-second"),
                                                 testing::HasSubstr("2 nodes of 4")));
    }
}

RC_GTEST_PROP(CollectiveCost, more_bytes_never_faster_more_bandwidth_never_slower, ()) {
    Cluster cluster = round_numbers();
    const auto kind = *rc::gen::element(all_reduce, all_gather, reduce_scatter, broadcast, all_to_all);
    const auto ranks = *rc::gen::inRange<std::int64_t>(1, 600);
    const auto stride = *rc::gen::element<std::int64_t>(1, 2, 3, 4, 16);
    const auto bytes = *rc::gen::inRange<std::int64_t>(0, 1 << 30);
    cluster.device.is_cpu = *rc::gen::arbitrary<bool>();
    const double seconds = collective_seconds(kind, bytes, ranks, stride, cluster);
    RC_ASSERT(seconds >= 0.0);
    if (!cluster.device.is_cpu) // small all-reduces of hosts are another algorithm
        RC_ASSERT(collective_seconds(kind, bytes + *rc::gen::inRange(0, 1 << 20), ranks, stride, cluster) >= seconds);
    cluster.intra_node.bytes_per_second *= *rc::gen::inRange(1, 4);
    cluster.network.bytes_per_second *= *rc::gen::inRange(1, 4);
    RC_ASSERT(collective_seconds(kind, bytes, ranks, stride, cluster) <= seconds);
}

/// nccl-tests results. The fit is of the first order: sizes where bandwidth or latency rules, not those between.
struct Measured {
    const char* cluster;
    CollectiveKind kind;
    std::int64_t bytes, ranks;
    double seconds;
    const char* source;
};

class PublishedSweeps : public testing::TestWithParam<Measured> {};

TEST_P(PublishedSweeps, within_a_fifth) {
    const Measured& row = GetParam();
    const Cluster cluster = config::load_cluster(std::string(ZEROSIM_SOURCE_DIR) + "/configs/clusters/" + row.cluster + ".cfg");
    const double predicted = collective_seconds(row.kind, row.bytes, row.ranks, 1, cluster);
    EXPECT_NEAR(predicted / row.seconds, 1.0, 0.2) << row.source;
}

INSTANTIATE_TEST_SUITE_P(
    CollectiveCost, PublishedSweeps,
    testing::Values(Measured{"h200-sxm", reduce_scatter, 17179869184, 8, 41422.9e-6, "stas00/ml-engineering network/README.md"},
                    Measured{"a100-sxm-80gb", all_reduce, 17179869184, 8, 128e-3, "stas00/ml-engineering: busbw 234.89 GB/s"},
                    Measured{"a100-sxm-40gb", all_reduce, 1073741824, 16, 11774e-6, "OCI BM.GPU4.8, 2 nodes"},
                    Measured{"a100-sxm-80gb", reduce_scatter, 512, 8, 15.58e-6, "aiconfigurator, NCCL 2.27.3"},
                    Measured{"h100-sxm", all_reduce, 8, 16, 45.72e-6, "dstack, Nebius, 2 nodes"},
                    Measured{"h100-sxm", all_reduce, 512, 8, 15.59e-6, "aiconfigurator, NCCL 2.29.2"},
                    Measured{"h200-sxm", all_gather, 8589934592, 16, 24489e-6, "GCP A3 Ultra, 2 nodes: busbw 328.85 GB/s"},
                    Measured{"b200", all_reduce, 8589934592, 8, 22035.2e-6, "stas00/ml-engineering, ring"},
                    Measured{"v100-sxm-32gb", all_reduce, 1073741824, 8, 13867e-6, "OCI BM.GPU3.8"},
                    Measured{"rtx4090-pcie", all_reduce, 134217728, 8, 15616e-6, "busbw 15.04 GB/s, no peer access"}));

} // namespace
} // namespace zerosim::cost
