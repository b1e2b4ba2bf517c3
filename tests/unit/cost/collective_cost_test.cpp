// cost::collective_seconds: the closed formulas on links of round numbers, then properties of the shipped clusters. How near they
// are to published sweeps: collective_accuracy_test.cpp.
#include "base/error.hpp"
#include "config/cluster_file.hpp"
#include "cost/cost.hpp"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <iterator>
#include <vector>

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
    EXPECT_DOUBLE_EQ(collective_seconds(reduce, 400'000'000, 4, 1, cluster), 5e-6 + 3e-6 + 4e-3);
    EXPECT_DOUBLE_EQ(collective_seconds(gather, 400'000'000, 4, 1, cluster), 5e-6 + 1e-6 + 3e-3) << "three parts through the root's links";
    EXPECT_DOUBLE_EQ(collective_seconds(scatter, 400'000'000, 4, 1, cluster), 5e-6 + 1e-6 + 3e-3);
    EXPECT_DOUBLE_EQ(collective_seconds(send_recv, 400'000'000, 4, 1, cluster), 5e-6 + 1e-6 + 4e-3);
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
    EXPECT_DOUBLE_EQ(exchange, 3e-6 + 3e-3) << "a latency for every message; the launch is the issue's: a hand-over";
    EXPECT_DOUBLE_EQ(collective_seconds(reduce_scatter, 400'000'000, 4, 1, cluster), exchange + 8e-3);
    EXPECT_DOUBLE_EQ(collective_seconds(all_reduce, 400'000'000, 4, 1, cluster),
                     exchange + 8e-3 + collective_seconds(all_gather, 400'000'000, 4, 1, cluster));
    EXPECT_DOUBLE_EQ(collective_seconds(all_reduce, 100, 4, 1, cluster),
                     collective_seconds(all_gather, 400, 4, 1, cluster) + 400 / 50e9)
        << "a scalar's: one exchange, summed by every rank";
}

TEST(CollectiveCost, within_a_step_host_ranks_find_their_buffers_cold_and_convert_2_byte_floats) {
    Cluster cluster = round_numbers();
    cluster.device.is_cpu = true;
    cluster.reduction_bytes_per_second = 50e9;
    EXPECT_DOUBLE_EQ(collective_seconds(all_gather, 400'000'000, 4, 1, cluster, 4, DType::fp32, kCold), collective_seconds(all_gather, 400'000'000, 4, 1, cluster, 4))
        << "nothing was measured";
    cluster.transport.cold_latency_seconds = 1e-6;
    cluster.transport.cold_bytes_per_second = 50e9;
    cluster.transport.narrow_reduction_bytes_per_second = 25e9;
    EXPECT_DOUBLE_EQ(collective_seconds(all_gather, 400'000'000, 4, 1, cluster, 4, DType::fp32, kCold), 3 * 2e-6 + 6e-3);
    EXPECT_DOUBLE_EQ(collective_seconds(all_gather, 400'000'000, 4, 1, cluster, 4), 3e-6 + 3e-3) << "repeated alone, they stay in the caches";
    EXPECT_DOUBLE_EQ(collective_seconds(reduce_scatter, 400'000'000, 4, 1, cluster, 4, DType::bf16), 3e-6 + 3e-3 + 16e-3);
    EXPECT_DOUBLE_EQ(collective_seconds(all_reduce, 400'000'000, 4, 1, cluster, 4, DType::fp32, kCold),
                     collective_seconds(reduce_scatter, 400'000'000, 4, 1, cluster, 4, DType::fp32, kCold) + collective_seconds(all_gather, 400'000'000, 4, 1, cluster, 4))
        << "its second exchange finds the transport warm and no buffer out of the cache";
}

TEST(CollectiveCost, buffers_that_only_the_last_level_cache_holds_are_between_warm_and_cold) {
    Cluster cluster = round_numbers();
    cluster.device.is_cpu = true;
    cluster.transport.shared_latency_seconds = 0.5e-6;
    cluster.transport.shared_bytes_per_second = 80e9;
    cluster.transport.cold_latency_seconds = 2e-6;
    cluster.transport.cold_bytes_per_second = 50e9;
    const auto seconds = [&](Coldness coldness) { return collective_seconds(all_gather, 400'000'000, 4, 1, cluster, 4, DType::fp32, coldness); };
    EXPECT_DOUBLE_EQ(seconds(kShared), 3 * 1.5e-6 + 300e6 / 80e9);
    EXPECT_DOUBLE_EQ(seconds(kCold), 3 * 3e-6 + 300e6 / 50e9);
    EXPECT_DOUBLE_EQ(seconds({0.5, 0.5, 1, 1}), (seconds(kShared) + seconds(kCold)) / 2);
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
    const auto kind = *rc::gen::elementOf(std::vector<CollectiveKind>(std::begin(kCollectiveKinds), std::end(kCollectiveKinds)));
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

Cluster preset(const std::string& name) {
    return config::load_cluster(fmt::format("{}/configs/clusters/{}.cfg", ZEROSIM_SOURCE_DIR, name));
}

TEST(CollectiveCost, a_group_of_one_device_a_node_has_its_own_card) {
    const Cluster cluster = preset("h100-sxm");
    const double rails = collective_seconds(all_gather, 1 << 30, 16, 8, cluster);
    const double whole = collective_seconds(all_gather, 1 << 30, 16, 1, cluster);
    EXPECT_GT(rails, 6 * whole) << "a card of a node instead of all eight";
    // 15 of 16 parts through a card of 50 GB/s at 0.9, of which a lone device reaches about three quarters.
    EXPECT_NEAR(rails, (15.0 / 16) * static_cast<double>(1 << 30) / (50e9 * 0.9 * 0.74), 0.1 * rails);
}

TEST(CollectiveCost, a_full_mesh_has_a_link_to_each_peer) {
    const Cluster whole = preset("mi300x");
    const double two = collective_seconds(all_reduce, 1 << 30, 2, 1, whole) / ring_factor(all_reduce, 2);
    const double eight = collective_seconds(all_reduce, 1 << 30, 8, 1, whole) / ring_factor(all_reduce, 8);
    EXPECT_NEAR(two, 7 * eight, 0.01 * two) << "one link of seven";
    const Cluster half = cluster::with_devices_per_node(whole, 4);
    EXPECT_DOUBLE_EQ(collective_seconds(all_reduce, 1 << 30, 2, 1, half), collective_seconds(all_reduce, 1 << 30, 2, 1, whole));
}

TEST(CollectiveCost, cards_without_peer_access_go_through_the_host) {
    const Cluster cluster = preset("l40s-pcie");
    const double two = collective_seconds(all_reduce, 1 << 28, 2, 1, cluster) / ring_factor(all_reduce, 2);
    const double four = collective_seconds(all_reduce, 1 << 28, 4, 1, cluster) / ring_factor(all_reduce, 4);
    const double eight = collective_seconds(all_reduce, 1 << 28, 8, 1, cluster) / ring_factor(all_reduce, 8);
    EXPECT_GT(four, 3 * two);
    EXPECT_NEAR(eight, 2 * four, 0.1 * eight) << "twice the crossings over the same bridges";
}

RC_GTEST_PROP(CollectiveCost, presets_cost_finite_positive_times_that_grow_with_large_messages, ()) {
    static const std::vector<Cluster> clusters{preset("v100-sxm-32gb"), preset("a100-sxm-80gb"), preset("h100-sxm"), preset("b200"),
                                               preset("l40s-pcie"),     preset("mi300x"),        preset("aws-p4de")};
    const Cluster& cluster = *rc::gen::elementOf(clusters);
    const auto kind = *rc::gen::elementOf(std::vector<CollectiveKind>(std::begin(kCollectiveKinds), std::end(kCollectiveKinds)));
    const auto ranks = *rc::gen::inRange<std::int64_t>(2, 5000);
    const auto stride = *rc::gen::element<std::int64_t>(1, 2, 4, 8, 64);
    const auto bytes = *rc::gen::inRange<std::int64_t>(0, 1 << 30);
    const double seconds = collective_seconds(kind, bytes, ranks, stride, cluster);
    RC_ASSERT(std::isfinite(seconds) && seconds > 0.0);
    RC_ASSERT(collective_seconds(kind, 4 * bytes + (std::int64_t{1} << 32), ranks, stride, cluster) > seconds);
}

// Held-out rows are of any hardware and size: nothing may go wild where no sweep was seen.
TEST(CollectiveCost, every_shipped_cluster_answers_from_2_to_1440_ranks) {
    const config::SearchPaths shipped{{std::string(ZEROSIM_SOURCE_DIR) + "/configs"}};
    for (const std::string& name : config::cluster_names(shipped)) {
        if (name == "local") continue;
        const Cluster cluster = preset(name);
        for (const auto kind : kCollectiveKinds)
            for (const std::int64_t ranks : {2, 3, 4, 5, 8, 12, 16, 36, 72, 144, 512, 1440})
                for (double bytes = 8, before = 0; bytes <= 1e11; bytes *= 8) {
                    const double seconds = collective_seconds(kind, static_cast<std::int64_t>(bytes), ranks, 1, cluster);
                    ASSERT_TRUE(std::isfinite(seconds) && seconds > 0) << name << ' ' << ranks << ' ' << bytes;
                    // No faster than the links of a device or its card, no slower than a thousandth of that beside 1 ms a rank.
                    const double cards = cluster.network.bytes_per_second * static_cast<double>(cluster.devices_per_node);
                    const double links = cluster.intra_node.bytes_per_second;
                    const double rate = ranks > cluster.devices_per_node ? std::min(links, cards) : links;
                    EXPECT_GT(seconds, bytes / static_cast<double>(ranks) / rate * 0.3) << name << ' ' << ranks << ' ' << bytes;
                    EXPECT_LT(seconds, 1e-3 * static_cast<double>(ranks) + 1000 * bytes / rate) << name << ' ' << ranks << ' ' << bytes;
                    EXPECT_GT(seconds, 0.6 * before) << name << ' ' << ranks << ' ' << bytes << ": eight times the bytes; NCCL leaves LL late";
                    before = seconds;
                }
    }
}

} // namespace
} // namespace zerosim::cost
