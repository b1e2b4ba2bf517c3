#include "cluster/improve.hpp"

#include <gtest/gtest.h>

#include <set>

namespace zerosim::cluster {
namespace {

Cluster gpus() {
    Cluster c;
    c.device.bf16_flops = 1e15;
    c.device.fp8_flops = 2e15;
    c.device.memory_bytes_per_second = 3e12;
    c.device.kernel_launch_seconds = 2e-6;
    c.device.host_issue_seconds = 8e-6;
    c.software.issue.forward = 4e-5;
    c.intra_node = {1e-6, 4e11, 0.8};
    c.network = {1e-5, 5e10, 0.9};
    c.host_link = {5e-6, 5e10, 1.0};
    c.collective_launch_seconds = 6e-6;
    c.host.memory_bytes_per_second = 3e11;
    c.host.nvme_read_bytes_per_second = 1e10;
    return c;
}

TEST(Improve, RatesGrowAndTimesShrink) {
    const Cluster c = gpus();
    EXPECT_DOUBLE_EQ(improved(c, Resource::matrix_throughput, 1.1).device.bf16_flops, 1.1e15);
    EXPECT_DOUBLE_EQ(improved(c, Resource::matrix_throughput, 1.1).device.fp8_flops, 2.2e15);
    EXPECT_DOUBLE_EQ(improved(c, Resource::memory_bandwidth, 1.1).device.memory_bytes_per_second, 3.3e12);
    EXPECT_DOUBLE_EQ(improved(c, Resource::node_bandwidth, 1.1).intra_node.bytes_per_second, 4.4e11);
    EXPECT_DOUBLE_EQ(improved(c, Resource::network_bandwidth, 1.1).network.bytes_per_second, 5.5e10);
    EXPECT_DOUBLE_EQ(improved(c, Resource::host_link, 1.1).host_link.bytes_per_second, 5.5e10);
    EXPECT_DOUBLE_EQ(improved(c, Resource::host_memory, 1.1).host.memory_bytes_per_second, 3.3e11);
    EXPECT_DOUBLE_EQ(improved(c, Resource::nvme, 1.1).host.nvme_read_bytes_per_second, 1.1e10);
    const Cluster prompt = improved(c, Resource::latency, 2);
    EXPECT_DOUBLE_EQ(prompt.intra_node.latency_seconds, 5e-7);
    EXPECT_DOUBLE_EQ(prompt.network.latency_seconds, 5e-6);
    EXPECT_DOUBLE_EQ(prompt.collective_launch_seconds, 3e-6);
    EXPECT_DOUBLE_EQ(improved(c, Resource::kernel_launch, 2).device.kernel_launch_seconds, 1e-6);
    const Cluster issuing = improved(c, Resource::host_issue, 2);
    EXPECT_DOUBLE_EQ(issuing.device.host_issue_seconds, 4e-6);
    EXPECT_DOUBLE_EQ(issuing.software.issue.forward, 2e-5);
    EXPECT_DOUBLE_EQ(issuing.device.memory_bytes_per_second, 3e12);   // nothing else
}

TEST(Improve, NamesSayWhatTheWiresAre) {
    Cluster c = gpus();
    std::set<std::string> names;
    for (const Resource resource : all_resources()) names.insert(name(resource, c));
    EXPECT_EQ(names.size(), all_resources().size());
    EXPECT_EQ(name(Resource::node_bandwidth, c), "NVLink bandwidth");
    c.fabric.wiring = Wiring::pcie;
    EXPECT_EQ(name(Resource::node_bandwidth, c), "PCIe bandwidth between devices");
    c.device.is_cpu = true;
    EXPECT_EQ(name(Resource::node_bandwidth, c), "bandwidth between ranks of a node");
}

}  // namespace
}  // namespace zerosim::cluster
