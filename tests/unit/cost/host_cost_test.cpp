// Copies to the host and to drives, and the host's own work: what the ranks of a node share.
#include "cost/host_cost.hpp"

#include "base/error.hpp"
#include "kernel/work.hpp"

#include <gtest/gtest.h>

namespace zerosim::cost {
namespace {

using schedule::Space;

cluster::Cluster node() {
    cluster::Cluster cluster;
    cluster.name = "node";
    cluster.devices_per_node = 8;
    cluster.host_link.bytes_per_second = 25e9;
    return cluster;
}

TEST(HostCost, a_link_of_its_own_is_not_shared) {
    for (const std::int64_t ranks : {1, 8, 64}) EXPECT_DOUBLE_EQ(host_link_bytes_per_second(node(), ranks), 25e9);
}

TEST(HostCost, devices_behind_a_switch_share_its_uplink) {
    cluster::Cluster cluster = node();
    cluster.host.devices_per_pcie_switch = 2;
    EXPECT_DOUBLE_EQ(host_link_bytes_per_second(cluster, 1), 25e9);
    EXPECT_DOUBLE_EQ(host_link_bytes_per_second(cluster, 2), 12.5e9);
    EXPECT_DOUBLE_EQ(host_link_bytes_per_second(cluster, 8), 12.5e9);
    cluster.host.pcie_uplink_bytes_per_second = 40e9;
    EXPECT_DOUBLE_EQ(host_link_bytes_per_second(cluster, 8), 20e9);
    cluster.host.devices_per_pcie_switch = 4;
    EXPECT_DOUBLE_EQ(host_link_bytes_per_second(cluster, 3), 40e9 / 3);
}

TEST(HostCost, all_devices_share_the_hosts_memory) {
    cluster::Cluster cluster = node();
    cluster.host.memory_bytes_per_second = 100e9;
    EXPECT_DOUBLE_EQ(host_link_bytes_per_second(cluster, 4), 25e9);
    EXPECT_DOUBLE_EQ(host_link_bytes_per_second(cluster, 16), 12.5e9);
    EXPECT_DOUBLE_EQ(crossing_seconds(1e9, Space::device, Space::pinned, cluster, 16), 0.08);
    EXPECT_DOUBLE_EQ(crossing_seconds(1e9, Space::pinned, Space::host, cluster, 16), 0.16) << "read and written";
}

TEST(HostCost, pageable_memory_is_copied_by_one_thread_through_a_pinned_buffer) {
    cluster::Cluster cluster = node();
    const double pinned = crossing_seconds(1e9, Space::device, Space::pinned, cluster, 1);
    for (const double pageable : {crossing_seconds(1e9, Space::device, Space::host, cluster, 1), crossing_seconds(1e9, Space::host, Space::device, cluster, 1)})
        EXPECT_NEAR(pageable / pinned, 4.2, 0.1) << "6 of 25 GB/s";
    cluster.host_link.bytes_per_second = 3e9;
    EXPECT_DOUBLE_EQ(crossing_seconds(1e9, Space::device, Space::host, cluster, 1), crossing_seconds(1e9, Space::device, Space::pinned, cluster, 1)) << "a slow link hides it";
}

TEST(HostCost, drives_are_shared_by_the_node_and_read_faster_than_they_write) {
    cluster::Cluster cluster = node();
    EXPECT_THROW((void)crossing_seconds(1, Space::pinned, Space::nvme, cluster, 8), ConfigError);
    cluster.host.nvme_read_bytes_per_second = 16e9;
    cluster.host.nvme_write_bytes_per_second = 8e9;
    EXPECT_DOUBLE_EQ(crossing_seconds(1e9, Space::nvme, Space::pinned, cluster, 8), 0.5);
    EXPECT_DOUBLE_EQ(crossing_seconds(1e9, Space::pinned, Space::nvme, cluster, 8), 1.0);
    EXPECT_DOUBLE_EQ(crossing_seconds(1e9, Space::pinned, Space::nvme, cluster, 2), 0.25);
}

TEST(HostCost, the_hosts_adam_is_as_fast_as_published_and_shared) {
    cluster::Cluster cluster = node();
    kernel::Attributes attributes;
    attributes.tokens = 1'000'000'000;
    EXPECT_THROW((void)host_compute_seconds(kernel::Kernel::adamw, attributes, DType::fp32, cluster, 1), ConfigError);
    cluster.host.memory_bytes_per_second = 200e9;   // STREAM of a DGX-2
    const double one = host_compute_seconds(kernel::Kernel::adamw, attributes, DType::fp32, cluster, 1);
    EXPECT_NEAR(one, 0.22, 0.01) << "ZeRO-Offload, table 4";
    EXPECT_DOUBLE_EQ(host_compute_seconds(kernel::Kernel::adamw, attributes, DType::fp32, cluster, 8), 8 * one);
}

TEST(HostCost, few_threads_bind_the_hosts_adam_before_its_memory_does) {
    cluster::Cluster cluster = node();
    cluster.host.memory_bytes_per_second = 200e9;
    kernel::Attributes attributes;
    attributes.tokens = 1'000'000'000;
    const auto seconds = [&](std::int64_t threads, std::int64_t ranks) {
        cluster.host.threads_per_rank = threads;
        return host_compute_seconds(kernel::Kernel::adamw_tensors, attributes, DType::fp32, cluster, ranks);
    };
    EXPECT_DOUBLE_EQ(seconds(1, 1), 28e9 / 12e9);
    EXPECT_DOUBLE_EQ(seconds(1, 1), seconds(1, 8)) << "a core each";
    EXPECT_DOUBLE_EQ(seconds(4, 1), seconds(1, 1) / 4);
    EXPECT_DOUBLE_EQ(seconds(64, 1), seconds(0, 1)) << "as many as memory feeds";
    const double fused = seconds(1, 1);
    attributes.accumulate_second = true;
    EXPECT_DOUBLE_EQ(seconds(1, 1), 6 * fused) << "an operation at a time";
}

} // namespace
} // namespace zerosim::cost
