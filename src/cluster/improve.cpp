#include "cluster/improve.hpp"

#include <array>

namespace zerosim::cluster {
namespace {

constexpr std::array kResources{Resource::matrix_throughput, Resource::memory_bandwidth, Resource::node_bandwidth, Resource::network_bandwidth,
                                Resource::latency,           Resource::kernel_launch,    Resource::host_issue,     Resource::host_link,
                                Resource::host_memory,       Resource::nvme};

std::string node_bandwidth_name(const Cluster& cluster) {
    if (cluster.device.is_cpu) return "bandwidth between ranks of a node";
    return cluster.fabric.wiring == Wiring::pcie ? "PCIe bandwidth between devices" : "NVLink bandwidth";
}

} // namespace

std::span<const Resource> all_resources() { return kResources; }

std::string name(Resource resource, const Cluster& cluster) {
    switch (resource) {
        case Resource::matrix_throughput: return "matrix throughput";
        case Resource::memory_bandwidth: return "memory bandwidth";
        case Resource::node_bandwidth: return node_bandwidth_name(cluster);
        case Resource::network_bandwidth: return "network bandwidth";
        case Resource::latency: return "latency of links and collectives";
        case Resource::kernel_launch: return "launch of kernels";
        case Resource::host_issue: return "host issue";
        case Resource::host_link: return "PCIe bandwidth to the host";
        case Resource::host_memory: return "host memory bandwidth";
        case Resource::nvme: return "NVMe bandwidth";
    }
    return "?";
}

Cluster improved(Cluster cluster, Resource resource, double factor) {
    DeviceSpec& device = cluster.device;
    switch (resource) {
        case Resource::matrix_throughput:
            for (double* peak : {&device.fp32_flops, &device.bf16_flops, &device.fp16_flops, &device.fp8_flops}) *peak *= factor;
            break;
        case Resource::memory_bandwidth: device.memory_bytes_per_second *= factor; break;
        case Resource::node_bandwidth:
            cluster.intra_node.bytes_per_second *= factor;
            cluster.fabric.bridge_bytes_per_second *= factor;
            cluster.transport.uncached_bytes_per_second *= factor;
            break;
        case Resource::network_bandwidth: cluster.network.bytes_per_second *= factor; break;
        case Resource::latency:
            for (double* seconds : {&cluster.intra_node.latency_seconds, &cluster.network.latency_seconds, &cluster.collective_launch_seconds,
                                    &cluster.transport.rendezvous_seconds})
                *seconds /= factor;
            break;
        case Resource::kernel_launch: device.kernel_launch_seconds /= factor; break;
        case Resource::host_issue: {
            IssueSeconds& issue = cluster.software.issue;
            for (double* seconds : {&device.host_issue_seconds, &issue.forward, &issue.backward, &issue.copy, &issue.gather_forward,
                                    &issue.gather_backward, &issue.reduce})
                *seconds /= factor;
            break;
        }
        case Resource::host_link:
            cluster.host_link.bytes_per_second *= factor;
            cluster.host.pcie_uplink_bytes_per_second *= factor;
            break;
        case Resource::host_memory: cluster.host.memory_bytes_per_second *= factor; break;
        case Resource::nvme:
            cluster.host.nvme_read_bytes_per_second *= factor;
            cluster.host.nvme_write_bytes_per_second *= factor;
            break;
    }
    return cluster;
}

} // namespace zerosim::cluster
