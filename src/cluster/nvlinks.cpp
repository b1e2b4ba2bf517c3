#include "cluster/nvlinks.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace zerosim::cluster {

// Datasheets: an NVLink has 25 GB/s in each direction with Volta, Ampere and Hopper, 50 with Blackwell: 6, 12, 18 and 18 of them.
std::int64_t links_of_device(const Cluster& cluster) {
    if (cluster.fabric.wiring == Wiring::full_mesh) return cluster.devices_per_node - 1;
    if (cluster.fabric.wiring == Wiring::pcie || cluster.fabric.tuning == CollectiveTuning::none) return 0;
    const double each = cluster.fabric.tuning == CollectiveTuning::nccl_blackwell ? 50e9 : 25e9;
    return std::llround(cluster.intra_node.bytes_per_second / each);
}

bool has_pair_links(const Cluster& cluster) {
    return cluster.fabric.wiring == Wiring::full_mesh || cluster.fabric.wiring == Wiring::hybrid_cube_mesh;
}

// Full mesh: both ends have one peer fewer to send to, and a ring uses the same number of links at each device. Hybrid cube mesh: a ring
// enters and leaves each device, so the 6 links of a device are 3 rings, each run both ways; with 5 at the two ends, 2 are left. Two
// devices alone have no other link: over PCIe.
double share_without_pair(const Cluster& cluster, std::int64_t devices) {
    constexpr double kRingsOfCubeMesh = 3;
    if (devices > 2)
        return cluster.fabric.wiring == Wiring::full_mesh ? static_cast<double>(devices - 2) / static_cast<double>(devices - 1)
                                                          : (kRingsOfCubeMesh - 1) / kRingsOfCubeMesh;
    const double pcie = cluster.host_link.achieved_bytes_per_second();
    const double link = cluster.intra_node.achieved_bytes_per_second() / static_cast<double>(std::max<std::int64_t>(links_of_device(cluster), 1));
    if (pcie <= 0 || link <= 0)
        throw ConfigError(fmt::format("variation.failed-links: cluster '{}' has no PCIe link (node.host-link-gigabytes-per-second) that could take the "
                                      "place of the pair's own", cluster.name));
    return std::min(1.0, pcie / link);
}

} // namespace zerosim::cluster
