// Rail and fat-tree wiring: what oversubscribed leaf switches leave of a group's bandwidth.
#include "cost/uplinks.hpp"

#include "config/cluster_file.hpp"
#include "cost/cost.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

namespace zerosim::cost {
namespace {

using cluster::Cluster;
using cluster::NetworkWiring;
using enum CollectiveKind;

Cluster h100() { return config::load_cluster(ZEROSIM_SOURCE_DIR "/configs/clusters/h100-sxm.cfg", config::SearchPaths{}); }

Cluster wired(NetworkWiring wiring, std::int64_t leaf_nodes, double oversubscription) {
    Cluster cluster = h100();
    cluster.fabric.network = wiring;
    cluster.fabric.leaf_nodes = leaf_nodes;
    cluster.fabric.oversubscription = oversubscription;
    return cluster;
}

TEST(Uplinks, groups_under_one_leaf_meet_none) {
    const Cluster cluster = wired(NetworkWiring::fat_tree, 4, 4);
    for (const auto kind : {all_reduce, all_gather, all_to_all}) EXPECT_EQ(uplink_share(kind, place(8, 1, cluster), cluster), 1.0);
    EXPECT_EQ(uplink_share(all_reduce, place(32, 1, cluster), cluster), 1.0);
    EXPECT_EQ(uplink_share(all_reduce, place(64, 1, wired(NetworkWiring::fat_tree, 4, 1)), wired(NetworkWiring::fat_tree, 4, 1)), 1.0);
}

TEST(Uplinks, a_ring_passes_a_border_once_and_interleaved_groups_all_do) {
    const Cluster cluster = wired(NetworkWiring::fat_tree, 4, 8);
    EXPECT_DOUBLE_EQ(uplink_share(all_reduce, place(64, 1, cluster), cluster), 0.5) << "one node of 4 sends over half a node's uplink";
    // Every fourth node: 4 groups, so all 4 nodes of a leaf send to the next leaf.
    EXPECT_DOUBLE_EQ(uplink_share(all_gather, place(16, 32, cluster), cluster), 1.0 / 8);
    const Cluster enough = wired(NetworkWiring::fat_tree, 4, 2);
    EXPECT_DOUBLE_EQ(uplink_share(all_reduce, place(64, 1, enough), enough), 1.0);
}

TEST(Uplinks, an_all_to_all_sends_most_of_its_bytes_across) {
    const Cluster cluster = wired(NetworkWiring::fat_tree, 2, 4);
    // 8 nodes, 2 on a leaf: 6 of 7 peers are across.
    EXPECT_DOUBLE_EQ(uplink_share(all_to_all, place(64, 1, cluster), cluster), 1 / (4 * 6.0 / 7));
}

TEST(Uplinks, rails_need_nvlink_to_change_the_rail) {
    Cluster nvlink = wired(NetworkWiring::rail, 32, 4), pcie = nvlink;
    pcie.fabric.wiring = cluster::Wiring::pcie;
    EXPECT_EQ(uplink_share(all_to_all, place(64, 1, nvlink), nvlink), 1.0) << "8 nodes on the same rails; NVLink changes the rail";
    EXPECT_DOUBLE_EQ(uplink_share(all_to_all, place(64, 1, pcie), pcie), 1 / (4 * (1 - 1.0 / 8))) << "7 of 8 cards are on other rails";
    // What a rack of 4 nodes sends over its uplinks, rails of 32 nodes keep.
    const Cluster rack = wired(NetworkWiring::fat_tree, 4, 8), rail = wired(NetworkWiring::rail, 32, 8);
    const double gib = 1 << 30;
    EXPECT_GT(collective_seconds(all_gather, static_cast<std::int64_t>(gib), 64, 1, rack),
              1.5 * collective_seconds(all_gather, static_cast<std::int64_t>(gib), 64, 1, rail));
    EXPECT_DOUBLE_EQ(collective_seconds(all_gather, static_cast<std::int64_t>(gib), 64, 1, rail),
                     collective_seconds(all_gather, static_cast<std::int64_t>(gib), 64, 1, h100()));
}

TEST(Uplinks, a_user_describes_a_cluster_in_twenty_lines) {
    const std::string text =
        "[cluster]\nbase = h100-sxm\n[network]\ngigabits-per-second = 1600\ncards = 4\nwiring = fat-tree\nleaf-nodes = 16\n"
        "oversubscription = 32\n";
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 20);
    const std::string path = testing::TempDir() + "twenty-lines.cfg";
    std::ofstream(path) << text;
    const Cluster mine = config::load_cluster(path, config::SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}});
    EXPECT_EQ(mine.fabric.cards, 4);
    EXPECT_EQ(mine.fabric.network, NetworkWiring::fat_tree);
    EXPECT_DOUBLE_EQ(mine.device.bf16_flops, h100().device.bf16_flops);
    const double within_leaf = collective_seconds(all_reduce, 1 << 30, 16 * 8, 1, mine);
    EXPECT_GT(collective_seconds(all_reduce, 1 << 30, 17 * 8, 1, mine), 1.5 * within_leaf) << "beyond the leaf half of the bandwidth is left";
}

} // namespace
} // namespace zerosim::cost
