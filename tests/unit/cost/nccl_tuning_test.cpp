// NCCL's choices: the worked examples of its tuning model, and the choices that published runs name.
#include "cost/nccl_tuning.hpp"

#include "config/cluster_file.hpp"
#include "cost/collective_choice.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>

namespace zerosim::cost {
namespace {

using cluster::Cluster;
using enum CollectiveKind;

Cluster preset(const std::string& name) {
    return config::load_cluster(fmt::format("{}/configs/clusters/{}.cfg", ZEROSIM_SOURCE_DIR, name));
}

/// NCCL's estimate for all 8 GPUs of a node, in us.
double estimate(const char* name, Algorithm algorithm, Protocol protocol, CollectiveKind kind, double bytes) {
    const Placement place{8, 8, 1};
    return nccl_estimate(algorithm, protocol, kind, bytes, place, nccl_topology(place, preset(name)), true) * 1e6;
}

// 360 GB/s of rings on an H100, of which an all-reduce of 8 has 4/7; 8 heads of 40 GB/s at 0.85 and 7/8, up and down.
TEST(NcclTuning, estimates_of_a_node_by_hand) {
    const double gibibyte = 1073741824;
    EXPECT_NEAR(estimate("h100-sxm", Algorithm::ring, Protocol::simple, all_reduce, gibibyte), 5276, 2);
    EXPECT_NEAR(estimate("h100-sxm", Algorithm::nvls, Protocol::simple, all_reduce, gibibyte), 3973, 2);
    EXPECT_NEAR(estimate("h100-sxm", Algorithm::ring, Protocol::simple, all_gather, gibibyte), 2642, 2);
    EXPECT_NEAR(estimate("a100-sxm-80gb", Algorithm::ring, Protocol::simple, all_reduce, gibibyte), 7885, 20);
    EXPECT_NEAR(estimate("h100-sxm", Algorithm::ring, Protocol::ll, all_reduce, 1 << 20), 28, 1);
    EXPECT_NEAR(estimate("h100-sxm", Algorithm::nvls, Protocol::simple, all_reduce, 1 << 20), 29, 1);
    EXPECT_TRUE(std::isinf(estimate("a100-sxm-80gb", Algorithm::nvls, Protocol::simple, all_reduce, 1 << 20))) << "no NVLS before Hopper";
    EXPECT_TRUE(std::isinf(estimate("rtx4090-pcie", Algorithm::ring, Protocol::ll128, all_reduce, 1 << 20))) << "LL128 wants NVLink";
}

struct Named {
    const char* cluster;
    CollectiveKind kind;
    std::int64_t bytes, ranks, stride;
    Algorithm algorithm;
    Protocol protocol;
    const char* source;
};

class NamedChoices : public testing::TestWithParam<Named> {};

TEST_P(NamedChoices, are_ours_too) {
    const Named& row = GetParam();
    const CollectiveChoice choice = collective_choice(row.kind, row.bytes, row.ranks, row.stride, preset(row.cluster));
    EXPECT_EQ(name(choice.algorithm), name(row.algorithm)) << row.source;
    EXPECT_EQ(name(choice.protocol), name(row.protocol)) << row.source;
}

constexpr std::int64_t kMiB = 1 << 20, kGiB = 1 << 30;
constexpr const char* kStas = "stas00/ml-engineering network/README.md: NCCL_DEBUG of 2.27.7";
constexpr const char* kJump = "aiconfigurator: the time doubles from one size to the next";

INSTANTIATE_TEST_SUITE_P(
    NcclTuning, NamedChoices,
    testing::Values(Named{"h200-sxm", all_reduce, 8 * kGiB, 4, 1, Algorithm::ring, Protocol::simple, kStas},
                    Named{"h200-sxm", all_reduce, 8 * kGiB, 5, 1, Algorithm::nvls, Protocol::simple, kStas},
                    Named{"h200-sxm", all_reduce, 8 * kGiB, 8, 1, Algorithm::nvls, Protocol::simple, kStas},
                    Named{"h200-sxm", reduce_scatter, 16 * kGiB, 8, 1, Algorithm::ring, Protocol::simple, kStas},
                    Named{"b200", all_reduce, 8 * kGiB, 5, 1, Algorithm::ring, Protocol::simple, kStas},
                    Named{"b200", all_reduce, 8 * kGiB, 8, 1, Algorithm::nvls, Protocol::simple, kStas},
                    Named{"a100-sxm-80gb", all_gather, kMiB, 4, 1, Algorithm::ring, Protocol::ll, kJump},
                    Named{"a100-sxm-80gb", all_gather, 2 * kMiB, 4, 1, Algorithm::ring, Protocol::simple, kJump},
                    Named{"a100-sxm-80gb", all_reduce, kMiB / 2, 2, 1, Algorithm::ring, Protocol::ll, kJump},
                    Named{"a100-sxm-80gb", all_reduce, kMiB, 2, 1, Algorithm::ring, Protocol::simple, kJump},
                    Named{"h100-sxm", all_gather, 2 * kMiB, 4, 1, Algorithm::ring, Protocol::ll, kJump},
                    Named{"h100-sxm", all_gather, 4 * kMiB, 4, 1, Algorithm::ring, Protocol::simple, kJump},
                    Named{"b200", all_gather, 4 * kMiB, 4, 1, Algorithm::ring, Protocol::ll, kJump},
                    Named{"b200", all_gather, 8 * kMiB, 4, 1, Algorithm::ring, Protocol::simple, kJump},
                    Named{"h100-sxm", all_reduce, 8, 16, 1, Algorithm::tree, Protocol::ll, "nccl-tests: 30 us over 2 nodes"}));

TEST(NcclTuning, takes_what_algorithms_and_protocols_leave) {
    const auto named = [](const Cluster& cluster, std::int64_t bytes) {
        const CollectiveChoice choice = collective_choice(all_reduce, bytes, 16, 1, cluster);
        return fmt::format("{} {}", name(choice.algorithm), name(choice.protocol));
    };
    Cluster cluster = preset("h100-sxm");
    EXPECT_EQ(named(cluster, kMiB / 64), "tree ll");
    EXPECT_EQ(named(cluster, kGiB), "nvls-tree simple");
    cluster.fabric.protocols = cluster::allowed_protocols("ll128, simple");
    EXPECT_EQ(named(cluster, kMiB / 64), "tree ll128");
    cluster.fabric.algorithms = cluster::allowed_algorithms("ring");
    EXPECT_EQ(named(cluster, kMiB / 64), "ring ll128");
    EXPECT_EQ(named(cluster, kGiB), "ring simple");
    cluster.fabric.algorithms = cluster::allowed_algorithms("nvls");
    EXPECT_EQ(named(cluster, kGiB), "ring simple") << "NVLS is within a node: nothing is left";
}

TEST(NcclTopology, channels_and_rings_of_the_generations) {
    const Placement node{8, 8, 1};
    const NcclTopology a100 = nccl_topology(node, preset("a100-sxm-80gb"));
    EXPECT_EQ(a100.channels, 12);
    EXPECT_NEAR(a100.ring, 240e9, 1e6) << "12 NVLinks of 20 GB/s";
    const NcclTopology h100 = nccl_topology(node, preset("h100-sxm"));
    EXPECT_EQ(h100.channels, 12);
    EXPECT_NEAR(h100.ring, 360e9, 1e6) << "6 rings of 60 GB/s of 18 * 20.6";
    EXPECT_NEAR(h100.head, 40e9, 1) << "8 heads of 370.8 GB/s";
    const NcclTopology b200 = nccl_topology(node, preset("b200"));
    EXPECT_NEAR(b200.ring, 720e9, 1e6) << "8 rings of 90 GB/s of 18 * 40.1";
    EXPECT_NEAR(b200.head, 90e9, 1);
}

TEST(NcclTopology, a_hybrid_cube_mesh_has_the_rings_that_its_links_allow) {
    const Cluster v100 = preset("v100-sxm-32gb");
    const double all = nccl_topology({8, 8, 1}, v100).achieved_within;
    EXPECT_DOUBLE_EQ(nccl_topology({2, 2, 1}, v100).achieved_within, all / 6);
    EXPECT_DOUBLE_EQ(nccl_topology({4, 4, 1}, v100).achieved_within, all * 4 / 6);
    EXPECT_LT(nccl_topology({6, 6, 1}, v100).achieved_within, nccl_topology({4, 4, 1}, v100).achieved_within);
}

TEST(NcclTopology, a_ring_over_nodes_is_as_fast_as_its_cards) {
    const Cluster h100 = preset("h100-sxm");
    EXPECT_NEAR(nccl_topology({16, 8, 2}, h100).ring, 360e9, 1e6) << "8 cards of 50 GB/s are more than the rings within";
    EXPECT_NEAR(nccl_topology({4, 2, 2}, h100).ring, 100e9, 1e3);
    EXPECT_NEAR(nccl_topology({4, 2, 2}, h100).tree, 200e9, 1e3) << "two nodes: each byte crosses once each way";
}

} // namespace
} // namespace zerosim::cost
