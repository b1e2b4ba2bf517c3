#include "cluster/forced_path.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::cluster {
namespace {

/// Pinned copies reach 55 of the 63 GB/s of Gen5 x16 on H100 and H200: `node.host-link-gigabytes-per-second` over the link's nominal rate.
constexpr double kCopiesOfNominal = 55.0 / 63.0;
/// Peer to peer over PCIe, of the nominal rate: 4 H100 PCIe, all-reduce of 66 MB: busbw 48 of 63 GB/s (microsoft/vidur, as in configs/clusters/h100-pcie.cfg).
constexpr double kPeerOfNominal = 48.0 / 63.0;
/// Through host memory: 8 RTX 4090, all-reduce of 16 to 128 MiB: busbw 14.5 to 15.0 of 31.5 GB/s (nccl-tests, as in configs/clusters/rtx4090-pcie.cfg).
constexpr double kHostOfNominal = 14.9 / 31.5;
/// An LL step: L40S under one switch, RTX 4090 through the host (the same files).
constexpr double kPeerSeconds = 1.15e-6, kHostSeconds = 1.86e-6;
/// Devices of an NVLink domain that spans hosts (GB200 NVL72) have no PCIe between them.
constexpr std::int64_t kDevicesOfHost = 16;

void require_pcie(const Cluster& cluster, Transport transport) {
    if (cluster.host_link.bytes_per_second <= 0)
        throw ConfigError(fmt::format("transport {}: cluster '{}' does not say what PCIe carries (node.host-link-gigabytes-per-second)", name(transport), cluster.name));
    if (cluster.devices_per_node > kDevicesOfHost)
        throw ConfigError(fmt::format("transport {}: the {} devices of a node of cluster '{}' are in several hosts, with NVLink and the network between them alone", name(transport),
                                      cluster.devices_per_node, cluster.name));
}

/// Every byte is written to host memory by one device and read from it by the next, all devices of a node at once; the devices behind a
/// PCIe switch share its uplink.
double host_rate(const Cluster& cluster, std::int64_t ranks, double nominal) {
    const auto here = static_cast<double>(std::clamp<std::int64_t>(ranks, 1, cluster.devices_per_node));
    double rate = nominal * kHostOfNominal;
    if (cluster.host.memory_bytes_per_second > 0) rate = std::min(rate, cluster.host.memory_bytes_per_second / (2 * here));
    const auto sharing = std::min(here, static_cast<double>(cluster.host.devices_per_pcie_switch));
    if (sharing > 1) {
        const double uplink = cluster.host.pcie_uplink_bytes_per_second > 0 ? cluster.host.pcie_uplink_bytes_per_second : cluster.host_link.achieved_bytes_per_second();
        rate = std::min(rate, uplink / sharing);
    }
    return rate;
}

void use_pcie(Cluster& cluster, double nominal, double rate, double latency) {
    cluster.intra_node = {std::max(latency, cluster.intra_node.latency_seconds), nominal, rate / nominal};
    cluster.fabric.wiring = Wiring::pcie;
    cluster.fabric.bridge_bytes_per_second = std::min(cluster.fabric.bridge_bytes_per_second, rate);
}

Cluster over_nvlink(Cluster cluster, std::int64_t ranks) {
    if (cluster.fabric.wiring == Wiring::pcie) throw ConfigError(fmt::format("transport nvlink: cluster '{}' has no NVLink", cluster.name));
    const std::int64_t island = cluster.fabric.island_devices, here = std::min(ranks, cluster.devices_per_node);
    if (island > 0 && here > island)
        throw ConfigError(fmt::format("transport nvlink: cluster '{}' joins {} devices by NVLink, not the {} that a node has ranks on", cluster.name, island, here));
    return cluster;
}

} // namespace

Transport usual_path(const Cluster& cluster) { return cluster.fabric.wiring == Wiring::pcie ? Transport::pcie : Transport::nvlink; }

Cluster over(Cluster cluster, Transport transport, std::int64_t ranks) {
    if (transport == Transport::automatic) return cluster;
    if (cluster.device.is_cpu) throw ConfigError(fmt::format("transport {}: the ranks of cluster '{}' are on CPUs; paths are forced between GPUs", name(transport), cluster.name));
    if (cluster.devices_per_node == 1 && transport != Transport::network)
        throw ConfigError(fmt::format("transport {}: a node of cluster '{}' has one device, so there is no path within it", name(transport), cluster.name));
    if (transport == Transport::nvlink) return over_nvlink(std::move(cluster), ranks);
    if (transport == Transport::network) {
        if (cluster.network.bytes_per_second <= 0) throw ConfigError(fmt::format("transport network: cluster '{}' has no network (network.gigabits-per-second)", cluster.name));
        cluster.fabric.devices_apart = true;
        return cluster;
    }
    require_pcie(cluster, transport);
    const double nominal = cluster.host_link.achieved_bytes_per_second() / kCopiesOfNominal;
    const bool pcie_already = cluster.fabric.wiring == Wiring::pcie;
    if (transport == Transport::host) {
        const double rate = host_rate(cluster, ranks, nominal);
        use_pcie(cluster, nominal, pcie_already ? std::min(rate, cluster.intra_node.achieved_bytes_per_second()) : rate, kHostSeconds);
    } else if (!pcie_already) { // else as measured
        use_pcie(cluster, nominal, nominal * kPeerOfNominal, kPeerSeconds);
    }
    return cluster;
}

} // namespace zerosim::cluster
