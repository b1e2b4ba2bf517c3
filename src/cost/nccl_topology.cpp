// NCCL 2.30 src/graph/topo.h (link widths), search.cc (speeds of channels, doubled channels) and tuning.cc.
#include "cost/nccl_topology.hpp"

#include "base/error.hpp"
#include "cluster/nvlinks.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace zerosim::cost {
namespace {

using cluster::CollectiveTuning;
using cluster::Wiring;

constexpr double kGiga = 1e9;

/// topo.h: an NVLink counts as 20.0 (SM70, SM80), 20.6 (SM90) and 40.1 (SM100) GB/s of the 25, 25, 25 and 50 of its datasheet.
constexpr std::array<double, 4> kCountedOfNominal{20.0 / 25, 20.0 / 25, 20.6 / 25, 40.1 / 50};
/// NVLink domains of more devices span hosts. Over several such domains NVLS is taken to be unused, and a channel to carry no more
/// than this: 20 racks of GB200 reach a bus bandwidth of 434 GB/s with 16 channels, half of what NVLS would (coreweave/nccl-tests,
/// NCCL 2.26; one sweep). NCCL counts 24 GB/s (tuning.cc, perChMaxTreeBw).
constexpr std::int64_t kDevicesOfHost = 16;
constexpr double kChannelOverDomains = 27.1e9, kCountedChannelOverDomains = 24e9;

/// topo.h: PCI_BW is 12 GB/s for Gen3 x16 (15.75).
constexpr double kCountedOfPcie = 12.0 / 15.75;

/// search.cc, speedArrayIntra: GB/s that a channel may have, fastest first.
constexpr std::array<double, 13> kSpeeds{40, 30, 20, 18, 15, 12, 10, 9, 7, 6, 5, 4, 3};
constexpr std::array<double, 11> kSpeedsSm90{60, 50, 40, 30, 24, 20, 15, 12, 11, 6, 3};
constexpr std::array<double, 12> kSpeedsSm100{90, 80, 70, 60, 50, 45, 40, 30, 24, 20, 19, 18};

std::span<const double> speeds(std::int64_t generation) {
    if (generation == 2) return kSpeedsSm90;
    if (generation == 3) return kSpeedsSm100;
    return kSpeeds;
}

/// A head for each device of the node, all at the fastest speed that its links carry.
double head_speed(std::int64_t generation, double links, std::int64_t heads) {
    const double each = links / static_cast<double>(heads);
    for (const double speed : speeds(generation))
        if (speed * kGiga <= each * (1 + 1e-9)) return speed * kGiga;
    return each;
}

double island_share(const cluster::Cluster& cluster, std::int64_t devices) {
    switch (cluster.fabric.wiring) {
        case Wiring::hybrid_cube_mesh: return cube_mesh_share(devices);
        case Wiring::full_mesh:
            return static_cast<double>(std::max<std::int64_t>(devices - 1, 1)) /
                   static_cast<double>(std::max<std::int64_t>(cluster.devices_per_node - 1, 1));
        case Wiring::switched:
        case Wiring::pcie: break;
    }
    return 1.0;
}

/// Islands that the group's devices of a node lie on.
std::int64_t islands(const Placement& place, const cluster::Cluster& cluster) {
    const std::int64_t size = cluster.fabric.island_devices;
    return size > 0 ? (place.per_node + size - 1) / size : 1;
}

/// A ring over several islands crosses a bridge for each, and the host has only so many at work at once.
double bridge_rate(const cluster::Cluster& cluster, std::int64_t crossings) {
    const std::int64_t bridges = cluster.fabric.bridges;
    const double share =
        bridges > 0 ? std::min(1.0, static_cast<double>(bridges) / static_cast<double>(crossings)) : 1.0;
    return cluster.fabric.bridge_bytes_per_second * share;
}

void set_within(NcclTopology& result, const Placement& place, const cluster::Cluster& cluster) {
    const std::int64_t crossings = islands(place, cluster);
    const bool bridged = result.bridged = crossings > 1 && cluster.fabric.bridge_bytes_per_second > 0;
    result.nvlink = cluster.fabric.wiring != Wiring::pcie && !bridged;
    result.achieved_links = bridged ? bridge_rate(cluster, crossings) : cluster.intra_node.achieved_bytes_per_second();
    const double share = bridged ? 1.0 : island_share(cluster, place.per_node);
    result.achieved_within = result.achieved_links * share;
    const auto row = static_cast<std::size_t>(result.generation);
    const double nominal = bridged ? result.achieved_links : cluster.intra_node.bytes_per_second * share;
    if (!result.nvlink) {
        result.links = bridged ? nominal : nominal * kCountedOfPcie;
        result.channels = 2; // one ring, doubled
        result.ring = result.links;
        return;
    }
    result.links = nominal * kCountedOfNominal[row];
    const double fastest = speeds(result.generation).front() * kGiga;
    const auto rings = std::max<std::int64_t>(1, static_cast<std::int64_t>(result.links / fastest + 1e-6));
    result.channels = 2 * rings; // at half the speed: connect.cc doubles them where links are fast
    result.ring = std::min(result.links, static_cast<double>(rings) * fastest);
}

} // namespace

// Adjacency of DGX-1 (0-1, 0-2, 1-3, 2-3 ... single, 0-3, 1-2 ... double links): a ring runs both ways, so 3 GPUs have 2 and 4 GPUs
// 4; 5 and 6 GPUs cross to the other quad over the links that are left. Measured by vTrain's V100 sweeps: 22.6 GB/s a ring.
double cube_mesh_share(std::int64_t devices) {
    constexpr std::array<double, 9> kRings{6, 6, 1, 2, 4, 2, 2, 4, 6};
    return devices >= 0 && devices < static_cast<std::int64_t>(kRings.size()) ? kRings[static_cast<std::size_t>(devices)] / 6 : 1.0;
}

double neighbour_part(const Placement& place, const cluster::Cluster& cluster) {
    const double links = static_cast<double>(std::max<std::int64_t>(1, cluster::links_of_device(cluster)));
    switch (cluster.fabric.wiring) {
        case Wiring::full_mesh: return 1 / static_cast<double>(std::max<std::int64_t>(1, place.per_node - 1));
        case Wiring::hybrid_cube_mesh: return std::min(1.0, 1 / (links * cube_mesh_share(place.per_node)));
        case Wiring::switched:
        case Wiring::pcie: break;
    }
    return 1.0;
}

NcclTopology nccl_topology(const Placement& place, const cluster::Cluster& cluster) {
    if (cluster.fabric.tuning == CollectiveTuning::none) throw BugError("the tables of NCCL were asked for the cluster '" + cluster.name + "', which has none of them");
    NcclTopology result;
    result.generation = static_cast<std::int64_t>(cluster.fabric.tuning) - static_cast<std::int64_t>(CollectiveTuning::nccl_volta);
    result.algorithms = cluster.fabric.algorithms;
    result.protocols = cluster.fabric.protocols;
    set_within(result, place, cluster);
    result.many_hosts = result.nvlink && place.per_node > kDevicesOfHost;
    result.network = cluster.network.bytes_per_second;
    result.achieved_network = cluster.network.achieved_bytes_per_second();
    result.nvls = result.generation >= 2 && result.nvlink && cluster.fabric.wiring == Wiring::switched &&
                  cluster.fabric.island_devices == 0 && place.least_per_node() > 2 && !(result.many_hosts && place.nodes > 1);
    if (result.nvls) result.head = head_speed(result.generation, result.links, place.per_node);
    result.tree = result.ring;
    if (place.nodes == 1) return result;
    // All rings pass through the node with the fewest devices: channels are as many as its search found (ncclTopoPostset takes the
    // least). Devices present there use a card each, while there are cards; the groups of a node (its stride) share them evenly.
    const auto of_node = static_cast<double>(cluster.devices_per_node);
    const double groups = place.apart > 0 ? static_cast<double>(place.apart) : std::max(1.0, std::floor(of_node / static_cast<double>(place.per_node)));
    const double all_cards = network_cards(cluster);
    const double working = std::min(all_cards, static_cast<double>(place.least_per_node()) * groups);
    const double cards = std::max(1.0, working / groups);
    result.shares = working / groups * of_node / all_cards;   // of devices apart: shares_apart()
    // A channel's ring leaves a node through one card. A tree over two nodes sends each byte once each way, a ring 2 (n - 1) / n times.
    const double used = result.cards = std::min(cards, static_cast<double>(std::max<std::int64_t>(result.channels, 1)));
    const double across = result.network * result.shares * used / cards;
    result.tree = std::min(result.ring, across * (place.nodes == 2 ? 2.0 : 1.0));
    result.ring = std::min(result.ring, across);
    if (result.many_hosts) {
        const auto channels = static_cast<double>(result.channels);
        result.ring = std::min(result.ring, channels * kCountedChannelOverDomains);
        result.achieved_within = std::min(result.achieved_within, channels * kChannelOverDomains);
    }
    return result;
}

} // namespace zerosim::cost
