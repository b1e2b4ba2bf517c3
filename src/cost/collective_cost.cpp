// GPU clusters with `collective.tuning`: what that library chooses, in the time it was measured to take (nccl_*).
// Others by alpha-beta: a launch, a latency per step of the algorithm, and the bytes that cross the scarcest link.
// GPU: ring, and for an all-reduce over several nodes the tree where it is faster, with the step counts of NCCL 2.30
// (src/graph/tuning.cc, ncclTopoGetAlgoTime). CPU: host_collectives.
#include "base/error.hpp"
#include "cost/collective_choice.hpp"
#include "cost/cost.hpp"
#include "cost/host_collectives.hpp"
#include "cost/nccl_seconds.hpp"
#include "cost/placement.hpp"
#include "cost/uplinks.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

namespace zerosim::cost {
namespace {

/// Latency of `steps` hops along the ring, each of which crosses a node boundary once a node (nInter of tuning.cc).
double ring_latency(const Placement& place, std::int64_t rounds, const cluster::Cluster& cluster) {
    const std::int64_t across = place.nodes - 1;
    const std::int64_t within = place.ranks - 1 - across;
    return static_cast<double>(rounds) * (static_cast<double>(within) * cluster.intra_node.latency_seconds +
                                          static_cast<double>(across) * cluster.network.latency_seconds);
}

/// All links of a device, less those to peers outside the group where each peer has its own.
double rate_within(const Placement& place, const cluster::Cluster& cluster) {
    const double all = cluster.intra_node.achieved_bytes_per_second();
    if (cluster.fabric.wiring != cluster::Wiring::full_mesh || cluster.devices_per_node < 2 || place.per_node < 2) return all;
    return all * static_cast<double>(place.per_node - 1) / static_cast<double>(cluster.devices_per_node - 1);
}

// A ring enters and leaves a node once, through all its network cards. The groups that a node holds at once (stride of them)
// share them, so a group has the cards of its own per_node devices.
double ring_bytes_per_second(const Placement& place, const cluster::Cluster& cluster) {
    const double within = rate_within(place, cluster);
    if (place.nodes == 1) return within;
    const double across = cluster.network.achieved_bytes_per_second() * static_cast<double>(place.per_node) * shares_apart(place, cluster) *
                          uplink_share(CollectiveKind::all_gather, place, cluster);
    return place.per_node == 1 ? across : std::min(within, across);
}

double ring_seconds(CollectiveKind kind, double bytes, const Placement& place, const cluster::Cluster& cluster) {
    const std::int64_t rounds = kind == CollectiveKind::all_reduce ? 2 : 1;
    return cluster.collective_launch_seconds + ring_latency(place, rounds, cluster) +
           bytes * ring_factor(kind, place.ranks) / ring_bytes_per_second(place, cluster);
}

// Double binary tree across nodes, chains within (tuning.cc: latency 2 * ((n / nodes - 1) * intra + log2(nodes) * inter),
// bandwidth 0.92 of the bus, every byte up and down).
double tree_all_reduce_seconds(double bytes, const Placement& place, const cluster::Cluster& cluster) {
    constexpr double efficiency = 0.92;
    const double latency = 2.0 * (static_cast<double>(place.per_node - 1) * cluster.intra_node.latency_seconds +
                                  std::log2(static_cast<double>(place.nodes)) * cluster.network.latency_seconds);
    return cluster.collective_launch_seconds + latency + 2.0 * bytes / (efficiency * ring_bytes_per_second(place, cluster));
}

// Every rank sends 1/n of its message to every other, all at once: those of its own node over the node's links, the others over its
// share of the network.
double all_to_all_seconds(double bytes, const Placement& place, const cluster::Cluster& cluster) {
    const double slice = bytes / static_cast<double>(place.ranks);
    const auto within = static_cast<double>(place.per_node - 1);
    const auto across = static_cast<double>(place.ranks - place.per_node);
    const double latency =
        std::min(within, 1.0) * cluster.intra_node.latency_seconds + std::min(across, 1.0) * cluster.network.latency_seconds;
    const double transfer_within = within > 0 ? slice * within / rate_within(place, cluster) : 0.0;
    const double network = cluster.network.achieved_bytes_per_second() * shares_apart(place, cluster) * uplink_share(CollectiveKind::all_to_all, place, cluster);
    const double transfer_across = across > 0 ? slice * across / network : 0.0;
    return cluster.collective_launch_seconds + latency + std::max(transfer_within, transfer_across);
}

/// Gather, scatter: all parts but the root's own through its links and its card. Send-recv: all of it to the next rank.
double pairs_seconds(CollectiveKind kind, double bytes, const Placement& place, const cluster::Cluster& cluster) {
    const bool send_recv = kind == CollectiveKind::send_recv;
    const double part = bytes / static_cast<double>(place.ranks);
    const double near = place.per_node == 1 ? 0.0 : send_recv ? bytes : part * static_cast<double>(place.per_node - 1);
    const double far = place.nodes == 1 ? 0.0 : send_recv ? bytes : part * static_cast<double>(place.ranks - place.per_node);
    const double links = rate_within(place, cluster) * (send_recv ? neighbour_part(place, cluster) : 1.0);
    const double card = cluster.network.achieved_bytes_per_second() * card_of_device(place, cluster) * uplink_share(kind, place, cluster);
    const double latency = (place.per_node > 1 ? cluster.intra_node.latency_seconds : 0.0) + (place.nodes > 1 ? cluster.network.latency_seconds : 0.0);
    return cluster.collective_launch_seconds + latency + std::max(near > 0 ? near / links : 0.0, far > 0 ? far / card : 0.0);
}

/// A choice, and what it takes. Plain rings and trees move whole buffers at once: Simple.
struct Timed {
    CollectiveChoice choice;
    double seconds = 0;
};

Timed plain_gpu(CollectiveKind kind, double bytes, const Placement& place, const cluster::Cluster& cluster) {
    if (kind == CollectiveKind::all_to_all)
        return {{Algorithm::pairs, Protocol::simple}, all_to_all_seconds(bytes, place, cluster)};
    if (is_pairs(kind)) return {{Algorithm::pairs, Protocol::simple}, pairs_seconds(kind, bytes, place, cluster)};
    const double ring = ring_seconds(kind, bytes, place, cluster);
    if (kind == CollectiveKind::all_reduce && place.nodes > 1)
        if (const double tree = tree_all_reduce_seconds(bytes, place, cluster); tree < ring)
            return {{Algorithm::tree, Protocol::simple}, tree};
    return {{Algorithm::ring, Protocol::simple}, ring};
}

Timed gpu(CollectiveKind kind, double bytes, const Placement& place, const cluster::Cluster& cluster) {
    if (cluster.fabric.tuning == cluster::CollectiveTuning::none) return plain_gpu(kind, bytes, place, cluster);
    NcclTopology topology = nccl_topology(place, cluster);
    topology.achieved_network *= uplink_share(kind, place, cluster); // NCCL does not know of it, and chooses as if all were free
    const NcclChoice choice = nccl_choice(kind, bytes, place, topology, cluster.fabric.network_ll128);
    return {{choice.algorithm, choice.protocol},
            nccl_seconds(choice, kind, bytes, place, topology, cluster, nccl_measured(topology))};
}

void require_links(const Placement& place, const cluster::Cluster& cluster) {
    if (place.per_node > 1 && cluster.intra_node.achieved_bytes_per_second() <= 0)
        throw ConfigError(
            fmt::format("cluster '{}' has no links within a node (node.link-gigabytes-per-second is 0), but {} ranks of a "
                        "group share one",
                        cluster.name, place.per_node));
    if (place.nodes > 1 && cluster.network.achieved_bytes_per_second() <= 0)
        throw ConfigError(
            fmt::format("cluster '{}' has no network (network.gigabits-per-second is 0), but a group of {} ranks needs {} "
                        "nodes of {} devices",
                        cluster.name, place.ranks, place.nodes, cluster.devices_per_node));
}

} // namespace

double collective_seconds(CollectiveKind kind, std::int64_t message_bytes, std::int64_t ranks, std::int64_t stride, const cluster::Cluster& cluster,
                          std::int64_t world, DType type, Coldness coldness) {
    if (ranks <= 1 || cluster.free_communication) return 0.0;
    const Placement placement = place(ranks, stride, cluster, world);
    require_links(placement, cluster);
    const auto bytes = static_cast<double>(message_bytes);
    if (!cluster.device.is_cpu) return gpu(kind, bytes, placement, cluster).seconds;
    // One thread of a rank communicates: it never has more than a core, and less when ranks outnumber cores.
    const double share = std::min(1.0, cluster::cores_per_rank(cluster, world > 0 ? world : ranks * stride));
    return host_collective(kind, bytes, placement, cluster, coldness, type).seconds / share;
}

CollectiveChoice collective_choice(CollectiveKind kind, std::int64_t message_bytes, std::int64_t ranks, std::int64_t stride,
                                   const cluster::Cluster& cluster, std::int64_t world) {
    if (ranks <= 1) return cluster.device.is_cpu ? CollectiveChoice{Algorithm::exchange, Protocol::simple} : CollectiveChoice{};
    const Placement placement = place(ranks, stride, cluster, world);
    require_links(placement, cluster);
    if (cluster.device.is_cpu)
        return {host_collective(kind, static_cast<double>(message_bytes), placement, cluster).algorithm, Protocol::simple};
    return gpu(kind, static_cast<double>(message_bytes), placement, cluster).choice;
}

} // namespace zerosim::cost
