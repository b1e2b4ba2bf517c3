#include "cost/host_cost.hpp"

#include "base/error.hpp"
#include "cost/cost.hpp"
#include "kernel/work.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::cost {
namespace {

using schedule::Space;

/// Of streaming bandwidth, by a fused Adam of many threads. Assumed: 0.22 s for 10^9 parameters on the two Xeon Platinum 8168 of a DGX-2, a
/// figure of ZeRO-Offload (arXiv 2101.06840) that was not read again. 28 bytes a parameter in 0.22 s are 127 GB/s, of the 200 GB/s that STREAM
/// gets of 12 DDR4-2666 at 0.8. docs/accuracy.md holds offload against a published table.
constexpr double kHostOptimizerEfficiency = 0.63;

std::int64_t on_node(const cluster::Cluster& cluster, std::int64_t ranks) { return std::clamp<std::int64_t>(ranks, 1, cluster.devices_per_node); }

double drive_seconds(double bytes, bool read, const cluster::Cluster& cluster, std::int64_t ranks) {
    const double rate = read ? cluster.host.nvme_read_bytes_per_second : cluster.host.nvme_write_bytes_per_second;
    if (rate <= 0)
        throw ConfigError(fmt::format("cluster '{0}' has no NVMe drives (node.nvme-{1}-gigabytes-per-second is 0), but the job offloads to them. Give their rates in a "
                                      "cluster file: [cluster] base = {0}, then [node] nvme-read-gigabytes-per-second and nvme-write-gigabytes-per-second", cluster.name,
                                      read ? "read" : "write"));
    return cluster.host.nvme_latency_seconds + bytes * static_cast<double>(on_node(cluster, ranks)) / rate;
}

} // namespace

double host_link_bytes_per_second(const cluster::Cluster& cluster, std::int64_t ranks) {
    double rate = cluster.host_link.achieved_bytes_per_second();
    if (rate <= 0) return 0;
    const std::int64_t here = on_node(cluster, ranks), together = std::min(here, cluster.host.devices_per_pcie_switch);
    // Ranks fill a node's devices in order, so the first switch is the busiest.
    const double uplink = cluster.host.pcie_uplink_bytes_per_second > 0 ? cluster.host.pcie_uplink_bytes_per_second : rate;
    if (together > 1) rate = std::min(rate, uplink / static_cast<double>(together));
    if (cluster.host.memory_bytes_per_second > 0) rate = std::min(rate, cluster.host.memory_bytes_per_second / static_cast<double>(here));
    return rate;
}

double crossing_seconds(double bytes, Space from, Space to, const cluster::Cluster& cluster, std::int64_t ranks) {
    double seconds = 0;
    if (from == Space::nvme || to == Space::nvme) seconds = drive_seconds(bytes, from == Space::nvme, cluster, ranks);
    if (from == Space::device || to == Space::device) { // over the device's link, beside the drives where both are passed
        const double link = host_link_bytes_per_second(cluster, ranks);
        if (link > 0) seconds = std::max(seconds, cluster.host_link.latency_seconds + bytes / link);
    } else if (cluster.host.memory_bytes_per_second > 0) { // read and written in host memory
        const double passes = from == Space::nvme || to == Space::nvme ? 1 : 2;
        seconds = std::max(seconds, passes * bytes * static_cast<double>(on_node(cluster, ranks)) / cluster.host.memory_bytes_per_second);
    }
    return seconds;
}

double host_compute_seconds(kernel::Kernel kernel, const kernel::Attributes& attributes, DType type, const cluster::Cluster& cluster, std::int64_t ranks) {
    if (cluster.device.is_cpu) return kernel_seconds(kernel, attributes, type, cluster.device, cluster::cores_per_rank(cluster, ranks), cluster.software);
    if (cluster.host.memory_bytes_per_second <= 0)
        throw ConfigError(fmt::format("cluster '{}' does not say how fast its hosts are (node.host-memory-gigabytes-per-second), but the job's optimizer runs there", cluster.name));
    const double share = cluster.host.memory_bytes_per_second * kHostOptimizerEfficiency / static_cast<double>(on_node(cluster, ranks));
    return kernel::work(kernel, attributes, type).bytes / share;
}

double slowdown_beside_collectives(const cluster::Cluster& cluster, std::int64_t ranks) {
    constexpr double kStandsStill = 1e6;
    if (!cluster.device.is_cpu || cluster.cores <= 0 || cluster.free_communication) return cluster.compute_slowdown;
    const std::int64_t here = on_node(cluster, ranks);
    return here > 1 && here <= cluster.cores && cluster.cores % here == 0 ? kStandsStill : cluster.compute_slowdown;
}

} // namespace zerosim::cost
