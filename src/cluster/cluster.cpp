#include "cluster/cluster.hpp"

#include <algorithm>

namespace zerosim::cluster {

double cores_per_rank(const Cluster& cluster, std::int64_t ranks) {
    if (cluster.cores <= 0) return 1.0;
    const std::int64_t on_node = std::clamp<std::int64_t>(ranks, 1, cluster.devices_per_node);
    if (on_node <= cluster.cores) return static_cast<double>(cluster.cores / on_node);
    return static_cast<double>(cluster.cores) / static_cast<double>(on_node);
}

Cluster with_devices_per_node(Cluster cluster, std::int64_t devices) {
    const double node_bandwidth = cluster.network.bytes_per_second * static_cast<double>(cluster.devices_per_node);
    if (cluster.fabric.wiring == Wiring::full_mesh && cluster.devices_per_node > 1) // a link to each peer that is left
        cluster.intra_node.bytes_per_second *= static_cast<double>(devices - 1) / static_cast<double>(cluster.devices_per_node - 1);
    cluster.devices_per_node = devices;
    cluster.network.bytes_per_second = node_bandwidth / static_cast<double>(devices);
    return cluster;
}

Cluster with_network_gigabits_per_node(Cluster cluster, double gigabits) {
    cluster.network.bytes_per_second = gigabits * 1e9 / 8.0 / static_cast<double>(cluster.devices_per_node);
    return cluster;
}

} // namespace zerosim::cluster
