// How the ranks of a group lie on the nodes of a cluster.
// Called by the cost of collectives.
// Does not know rates.
#pragma once

#include "cluster/cluster.hpp"

#include <algorithm>
#include <cmath>

namespace zerosim::cost {

struct Placement {
    std::int64_t ranks = 1;
    std::int64_t per_node = 1;
    std::int64_t nodes = 1;
    std::int64_t node_stride = 1; // successive nodes of the group are so many apart
    std::int64_t apart = 0;       // devices that the job has on a full node where each counts as a node (transport = network); 0 = they do not
    /// Of the last node, which may be partly filled.
    [[nodiscard]] std::int64_t least_per_node() const { return ranks - (nodes - 1) * per_node; }
};

/// `ranks` ranks, `stride` apart in rank order. A group that fits on one node is taken to lie on one: groups of consecutive blocks
/// of ranks * stride straddle nodes only when that does not divide the node's devices. `world`: ranks of the job; 0 = ranks * stride.
[[nodiscard]] inline Placement place(std::int64_t ranks, std::int64_t stride, const cluster::Cluster& cluster, std::int64_t world = 0) {
    if (cluster.fabric.devices_apart) return {ranks, 1, ranks, 1, std::min(std::max(ranks * stride, world), cluster.devices_per_node)};
    if (ranks * stride <= cluster.devices_per_node) return {ranks, ranks, 1, 1};
    const std::int64_t per_node = std::clamp<std::int64_t>(cluster.devices_per_node / stride, 1, ranks);
    return {ranks, per_node, (ranks + per_node - 1) / per_node, std::max<std::int64_t>(1, stride / cluster.devices_per_node)};
}

/// Network cards of a node that its devices can use; where a file states none, each has its own.
[[nodiscard]] inline double network_cards(const cluster::Cluster& cluster) {
    const auto devices = static_cast<double>(cluster.devices_per_node);
    return cluster.fabric.cards > 0 ? std::min(static_cast<double>(cluster.fabric.cards), devices) : devices;
}

/// What one device has through a network card while the others of its group send nothing, of a device's even share of its node's network.
/// Each group of the node (its stride) has a device that does so.
[[nodiscard]] inline double card_of_device(const Placement& place, const cluster::Cluster& cluster) {
    const auto devices = static_cast<double>(cluster.devices_per_node);
    const double cards = network_cards(cluster);
    const double groups = place.apart > 0 ? static_cast<double>(place.apart) : std::max(1.0, std::floor(devices / static_cast<double>(place.per_node)));
    return devices / cards * std::min(1.0, cards / groups);
}

/// What a device that is a node of its own has of the node's network, in even shares of all devices: fewer devices at work have more each,
/// up to a card.
[[nodiscard]] inline double shares_apart(const Placement& place, const cluster::Cluster& cluster) {
    if (place.apart == 0) return 1.0;
    const double cards = network_cards(cluster);
    return std::min(1.0, cards / static_cast<double>(place.apart)) * static_cast<double>(cluster.devices_per_node) / cards;
}

} // namespace zerosim::cost
