// Devices whose collectives are forced over the network (transport = network) share the cards of their node, those at work alone.
#include "config/cluster_file.hpp"
#include "cost/cost.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

namespace zerosim::cost {
namespace {

using enum CollectiveKind;

/// 8 devices a node of 80 GB/s, without latencies.
cluster::Cluster apart(std::int64_t cards) {
    cluster::Cluster cluster;
    cluster.name = "apart";
    cluster.devices_per_node = 8;
    cluster.network = {0, 10e9, 1};
    cluster.fabric.cards = cards;
    cluster.fabric.devices_apart = true;
    return cluster;
}

double ring_rate(std::int64_t ranks, const cluster::Cluster& cluster) {
    constexpr std::int64_t kBytes = 840'000'000;
    return static_cast<double>(kBytes) * static_cast<double>(ranks - 1) / static_cast<double>(ranks) / collective_seconds(all_gather, kBytes, ranks, 1, cluster);
}

TEST(DevicesApart, share_the_cards_among_those_at_work) {
    EXPECT_NEAR(ring_rate(8, apart(8)), 10e9, 1) << "each has a card";
    EXPECT_NEAR(ring_rate(2, apart(8)), 10e9, 1) << "and no more than one";
    EXPECT_NEAR(ring_rate(8, apart(1)), 10e9, 1) << "one card of 80 GB/s for 8";
    EXPECT_NEAR(ring_rate(2, apart(1)), 40e9, 1) << "for 2";
    EXPECT_NEAR(ring_rate(3, apart(4)), 20e9, 1) << "a card of 20 GB/s each";
    EXPECT_NEAR(ring_rate(6, apart(4)), 40e9 / 3, 1) << "four cards for six";
    EXPECT_NEAR(ring_rate(16, apart(4)), 10e9, 1) << "a full node beside another";
}

TEST(DevicesApart, other_groups_of_the_job_use_the_cards_too) {
    constexpr std::int64_t kBytes = 800'000'000;
    EXPECT_NEAR(collective_seconds(all_gather, kBytes, 4, 1, apart(4)), 0.6e9 / 20e9, 1e-9) << "4 devices are the whole job: a card each";
    EXPECT_NEAR(collective_seconds(all_gather, kBytes, 4, 1, apart(4), 16), 0.6e9 / 10e9, 1e-9) << "a group beside it on the node: half a card each";
    EXPECT_NEAR(collective_seconds(all_gather, kBytes, 4, 4, apart(4), 16), 0.6e9 / 10e9, 1e-9) << "or across the nodes";
}

TEST(DevicesApart, all_to_all_and_nccls_tables_see_the_same_cards) {
    EXPECT_NEAR(collective_seconds(all_to_all, 800'000'000, 2, 1, apart(1)), 0.4e9 / 40e9, 1e-9);
    cluster::Cluster nccl = config::load_cluster(fmt::format("{}/configs/clusters/l40s-pcie.cfg", ZEROSIM_SOURCE_DIR)); // two cards
    nccl.fabric.devices_apart = true;
    constexpr std::int64_t kBytes = std::int64_t{1} << 30;
    for (const CollectiveKind kind : {all_reduce, all_gather, all_to_all}) {
        const double two = collective_seconds(kind, kBytes, 2, 1, nccl), eight = collective_seconds(kind, kBytes, 8, 1, nccl);
        EXPECT_GT(eight, 3 * two) << "8 devices have a quarter of a card each, 2 a whole one, of " << name(kind);
    }
}

} // namespace
} // namespace zerosim::cost
