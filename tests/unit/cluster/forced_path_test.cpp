#include "cluster/forced_path.hpp"

#include "base/error.hpp"
#include "config/cluster_file.hpp"
#include "cost/cost.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::cluster {
namespace {

using testing::HasSubstr;

Cluster preset(const std::string& name) { return config::load_cluster(std::string(ZEROSIM_SOURCE_DIR) + "/configs/clusters/" + name + ".cfg", {}); }

constexpr std::int64_t kLarge = 256 << 20;
double bus_bandwidth(const Cluster& cluster, std::int64_t ranks) {
    return static_cast<double>(kLarge) * static_cast<double>(ranks - 1) / static_cast<double>(ranks) /
           cost::collective_seconds(CollectiveKind::all_gather, kLarge, ranks, 1, cluster);
}

std::string refusal(const std::string& name, Transport transport, std::int64_t ranks = 8) {
    try {
        (void)over(preset(name), transport, ranks);
    } catch (const ConfigError& error) {
        return error.what();
    }
    return {};
}

TEST(ForcedPath, AutoAndNvlinkLeaveAnNvlinkClusterAsItIs) {
    const Cluster h100 = preset("h100-sxm");
    EXPECT_EQ(usual_path(h100), Transport::nvlink);
    for (const Transport transport : {Transport::automatic, Transport::nvlink})
        EXPECT_DOUBLE_EQ(bus_bandwidth(over(h100, transport, 8), 8), bus_bandwidth(h100, 8)) << name(transport);
}

TEST(ForcedPath, EachStepAwayFromNvlinkIsSlower) {
    const Cluster h100 = preset("h100-sxm");
    const double nvlink = bus_bandwidth(h100, 8), pcie = bus_bandwidth(over(h100, Transport::pcie, 8), 8), host = bus_bandwidth(over(h100, Transport::host, 8), 8);
    EXPECT_GT(nvlink, 4 * pcie);
    EXPECT_GT(pcie, 1.2 * host);
    // H100 PCIe: 48 GB/s measured over the same Gen5 x16 (configs/clusters/h100-pcie.cfg); the ring's start and steps are in it too.
    EXPECT_NEAR(pcie, 48e9, 0.05 * 48e9);
}

TEST(ForcedPath, ThroughTheHostIsWhatCardsWithoutPeerAccessReach) {
    const Cluster cards = preset("rtx4090-pcie");
    EXPECT_EQ(usual_path(cards), Transport::pcie);
    EXPECT_NEAR(bus_bandwidth(over(cards, Transport::host, 8), 8), bus_bandwidth(cards, 8), 0.02 * bus_bandwidth(cards, 8));
    EXPECT_LT(bus_bandwidth(over(preset("rtx4090-pcie-p2p"), Transport::host, 4), 4), 0.7 * bus_bandwidth(preset("rtx4090-pcie-p2p"), 4));
}

TEST(ForcedPath, DevicesBehindOneSwitchShareItsWayToTheHost) {
    Cluster a100 = preset("a100-sxm-80gb");
    ASSERT_EQ(a100.host.devices_per_pcie_switch, 2);
    const double shared = over(a100, Transport::host, 8).intra_node.achieved_bytes_per_second();
    a100.host.devices_per_pcie_switch = 0;
    const double alone = over(a100, Transport::host, 8).intra_node.achieved_bytes_per_second();
    EXPECT_LE(shared, a100.host_link.bytes_per_second / 2);
    EXPECT_GE(alone, shared);
    a100.host.memory_bytes_per_second = 16e9;   // every byte is written and read: 8 GPUs get a sixteenth each
    EXPECT_DOUBLE_EQ(over(a100, Transport::host, 8).intra_node.achieved_bytes_per_second(), 1e9);
}

TEST(ForcedPath, OverTheNetworkARankHasItsShareOfTheCards) {
    const Cluster h100 = preset("h100-sxm");
    const double network = bus_bandwidth(over(h100, Transport::network, 8), 8);
    EXPECT_LT(network, h100.network.bytes_per_second);
    EXPECT_GT(network, 0.5 * h100.network.bytes_per_second);
    // Between nodes nothing is better than before.
    EXPECT_GE(cost::collective_seconds(CollectiveKind::all_reduce, kLarge, 16, 1, over(h100, Transport::network, 16)), cost::collective_seconds(CollectiveKind::all_reduce, kLarge, 16, 1, h100));
}

TEST(ForcedPath, BridgedPairsKeepTheirWayBeyondThePair) {
    const Cluster pairs = preset("h100-pcie");
    EXPECT_THAT(refusal("h100-pcie", Transport::nvlink, 8), HasSubstr("joins 2 devices by NVLink, not the 8"));
    EXPECT_EQ(refusal("h100-pcie", Transport::nvlink, 2), "");
    EXPECT_LE(bus_bandwidth(over(pairs, Transport::pcie, 8), 2), bus_bandwidth(pairs, 2));
    EXPECT_LE(over(pairs, Transport::host, 8).fabric.bridge_bytes_per_second, pairs.fabric.bridge_bytes_per_second);
}

TEST(ForcedPath, WhatAClusterDoesNotHaveIsRefusedByName) {
    EXPECT_THAT(refusal("l40s-pcie", Transport::nvlink), HasSubstr("transport nvlink: cluster 'l40s-pcie' has no NVLink"));
    EXPECT_THAT(refusal("gb200-nvl72", Transport::pcie, 72), HasSubstr("several hosts"));
    EXPECT_THAT(refusal("local", Transport::host), HasSubstr("on CPUs"));
    for (const Transport transport : {Transport::nvlink, Transport::pcie, Transport::host})
        EXPECT_THAT(refusal("gh200", transport), HasSubstr("has one device")) << name(transport);
    EXPECT_EQ(refusal("gh200", Transport::network), "") << "its usual path";
    Cluster alone = preset("h100-sxm");
    alone.network.bytes_per_second = 0;
    EXPECT_THROW((void)over(alone, Transport::network, 8), ConfigError);
}

}  // namespace
}  // namespace zerosim::cluster
