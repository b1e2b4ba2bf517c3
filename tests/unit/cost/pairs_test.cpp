// Kinds that NCCL has as groups of sends and receives, and its reduce: what they share with others, what direct links leave of them, and how near the
// published runs of nccl-tests' sendrecv they are.
#include "config/cluster_file.hpp"
#include "cost/collective_choice.hpp"
#include "cost/cost.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace zerosim::cost {
namespace {

using enum CollectiveKind;

constexpr std::int64_t kMiB = 1 << 20;

cluster::Cluster preset(const std::string& name) { return config::load_cluster(name, config::SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}}); }

struct Run {
    std::int64_t bytes;
    double seconds;
};

/// Times of one run are within `part` of the prediction.
void expect_near(const cluster::Cluster& cluster, std::int64_t ranks, std::initializer_list<Run> runs, double part) {
    for (const Run& run : runs) EXPECT_NEAR(collective_seconds(send_recv, run.bytes, ranks, 1, cluster) / run.seconds, 1, part) << ranks << " ranks, " << run.bytes << " bytes";
}

// 2 x 8 and 4 x 8 B200, 8 ConnectX-7 of 400 Gbit/s a node, NCCL 2.29.7: out of place, from the bandwidths of "NCCL SendRecv P2P Scaling Report" (Together AI,
// 2026-04-10, run 1). From 8 nodes on its fabric is oversubscribed. Nothing is fitted to it.
TEST(Pairs, send_recv_over_infiniband_as_published) {
    const cluster::Cluster b200 = preset("b200");
    expect_near(b200, 16, {{4096, 21.6e-6}, {16384, 24.1e-6}, {256 * 1024, 39.7e-6}, {512 * 1024, 44.7e-6}}, 0.20);
    expect_near(b200, 16, {{kMiB, 50.6e-6}, {4 * kMiB, 121.6e-6}, {16 * kMiB, 402.6e-6}, {64 * kMiB, 1603e-6}, {256 * kMiB, 6394e-6}}, 0.08);
    expect_near(b200, 32, {{kMiB, 55.0e-6}, {4 * kMiB, 121.2e-6}, {16 * kMiB, 390.9e-6}, {64 * kMiB, 1529e-6}, {256 * kMiB, 6046e-6}}, 0.08);
}

// 8 A100 on NVSwitch (li-plus/playground, cuda/nccl.md); its first size, 128 MiB, took as long as 230 MiB would.
TEST(Pairs, send_recv_over_nvswitch_as_published) {
    expect_near(preset("a100-sxm-80gb"), 8, {{256 * kMiB, 1423.3e-6}, {512 * kMiB, 2785.4e-6}, {1024 * kMiB, 5503.4e-6}}, 0.12);
}

// NCCL has rings alone for reduce (src/graph/tuning.cc), whose latency and bytes are a broadcast's.
TEST(Pairs, reduce_is_a_ring_and_the_others_are_no_collectives) {
    for (const char* name : {"h100-sxm", "a100-sxm-80gb", "b200", "v100-sxm-32gb", "l40s-pcie"})
        for (const std::int64_t ranks : {2, 8, 16})
            for (std::int64_t bytes = 1024; bytes <= 1 << 30; bytes *= 32) {
                const cluster::Cluster cluster = preset(name);
                if (ranks > cluster.devices_per_node && cluster.network.bytes_per_second <= 0) continue;
                const CollectiveChoice choice = collective_choice(reduce, bytes, ranks, 1, cluster);
                EXPECT_EQ(choice.algorithm, Algorithm::ring);
                EXPECT_EQ(choice.protocol, collective_choice(broadcast, bytes, ranks, 1, cluster).protocol);
                for (const auto kind : {gather, scatter, send_recv}) EXPECT_EQ(collective_choice(kind, bytes, ranks, 1, cluster).algorithm, Algorithm::pairs);
                EXPECT_DOUBLE_EQ(collective_seconds(gather, bytes, ranks, 1, cluster), collective_seconds(scatter, bytes, ranks, 1, cluster));
            }
}

// Behind a switch all links of a device lead to its neighbour. In a cube mesh one of six does, in a full mesh one of seven.
TEST(Pairs, direct_links_lead_to_one_neighbour) {
    const auto rate = [](const char* name, CollectiveKind kind) { return static_cast<double>(1 << 30) / collective_seconds(kind, 1 << 30, 8, 1, preset(name)); };
    EXPECT_GT(rate("a100-sxm-80gb", send_recv), 0.8 * rate("a100-sxm-80gb", all_gather));
    EXPECT_LT(rate("v100-sxm-32gb", send_recv), 0.2 * rate("v100-sxm-32gb", all_gather));
    EXPECT_NEAR(rate("mi300x", send_recv) / rate("mi300x", gather), 1.0 / 8, 0.01) << "a gather's seven eighths come over seven links";
}

// One card of eight carries what leaves a node, where a ring has all of them; a root of 16 GPUs receives half of all through its own.
TEST(Pairs, one_card_carries_what_leaves_a_node) {
    const cluster::Cluster h100 = preset("h100-sxm");
    const double card = h100.network.achieved_bytes_per_second(), bytes = 1 << 30;
    EXPECT_NEAR(collective_seconds(send_recv, 1 << 30, 16, 1, h100), bytes / card, 0.05 * bytes / card);
    EXPECT_NEAR(collective_seconds(gather, 1 << 30, 16, 1, h100), bytes / 2 / card, 0.05 * bytes / card);
    EXPECT_GT(collective_seconds(send_recv, 1 << 30, 16, 1, h100), 5 * collective_seconds(broadcast, 1 << 30, 16, 1, h100));
}

} // namespace
} // namespace zerosim::cost
