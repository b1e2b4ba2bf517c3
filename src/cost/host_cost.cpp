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

/// What one core streams from and to memory, reads and writes together: a memcpy of half as much. Published of one thread: a copy from
/// pageable memory takes 6 times as long as one from pinned memory (DeepSpeed pull request 5301; of 25 GB/s, assumed), memcpy stays below 4 GB/s (OpenXLA
/// issue 12452), pageable memory moves at 9.6 GB/s where pinned does at 32.4 (an RTX 5090, kekzl/imp 1409): 4 to 10 GB/s; 6 between them.
constexpr double kCoreBytesPerSecond = 12e9;
/// A pageable copy goes through the driver's pinned buffer, filled or emptied by the calling thread (CUDA C++ Best Practices Guide, "Pinned Memory").
constexpr double kPageableBytesPerSecond = kCoreBytesPerSecond / 2;
/// torch.optim's Adam is a kernel for each operation: 56 s where DeepSpeed's takes 8.2 s (11.6B parameters, DeepSpeed pull request 735; 5.1 to 6.5
/// times in pull request 378).
constexpr double kUnfusedPasses = 6;

std::int64_t on_node(const cluster::Cluster& cluster, std::int64_t ranks) { return std::clamp<std::int64_t>(ranks, 1, cluster.devices_per_node); }

/// A rank's part of the host's memory, no more than its threads stream.
double host_memory_share(double memory_bytes_per_second, const cluster::Cluster& cluster, std::int64_t ranks) {
    const double share = memory_bytes_per_second / static_cast<double>(on_node(cluster, ranks));
    return cluster.host.threads_per_rank > 0 ? std::min(share, static_cast<double>(cluster.host.threads_per_rank) * kCoreBytesPerSecond) : share;
}

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
        double link = host_link_bytes_per_second(cluster, ranks);
        if (from == Space::host || to == Space::host) link = std::min(link, kPageableBytesPerSecond);
        if (link > 0) seconds = std::max(seconds, cluster.host_link.latency_seconds + bytes / link);
    } else if (cluster.host.memory_bytes_per_second > 0) { // read and written in host memory
        const double passes = from == Space::nvme || to == Space::nvme ? 1 : 2;
        seconds = std::max(seconds, passes * bytes / host_memory_share(cluster.host.memory_bytes_per_second, cluster, ranks));
    }
    return seconds;
}

double host_compute_seconds(kernel::Kernel kernel, const kernel::Attributes& attributes, DType type, const cluster::Cluster& cluster, std::int64_t ranks) {
    if (cluster.device.is_cpu) return kernel_seconds(kernel, attributes, type, cluster.device, cluster::cores_per_rank(cluster, ranks), cluster.software);
    if (cluster.host.memory_bytes_per_second <= 0)
        throw ConfigError(fmt::format("cluster '{}' does not say how fast its hosts are (node.host-memory-gigabytes-per-second), but the job's optimizer runs there", cluster.name));
    const double share = host_memory_share(cluster.host.memory_bytes_per_second * kHostOptimizerEfficiency, cluster, ranks);
    const bool unfused = kernel == kernel::Kernel::adamw_tensors && attributes.accumulate_second;
    return kernel::work(kernel, attributes, type).bytes * (unfused ? kUnfusedPasses : 1) / share;
}

double slowdown_beside_collectives(const cluster::Cluster& cluster, std::int64_t ranks) {
    constexpr double kStandsStill = 1e6;
    if (!cluster.device.is_cpu || cluster.cores <= 0 || cluster.free_communication) return cluster.compute_slowdown;
    const std::int64_t here = on_node(cluster, ranks);
    return here > 1 && here <= cluster.cores && cluster.cores % here == 0 ? kStandsStill : cluster.compute_slowdown;
}

} // namespace zerosim::cost
