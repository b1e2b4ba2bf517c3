// How the ranks of a group lie on the nodes of a cluster.
// Called by the cost of collectives.
// Does not know rates.
#pragma once

#include "cluster/cluster.hpp"

#include <algorithm>

namespace zerosim::cost {

struct Placement {
    std::int64_t ranks = 1;
    std::int64_t per_node = 1;
    std::int64_t nodes = 1;
    std::int64_t node_stride = 1; // successive nodes of the group are so many apart
    /// Of the last node, which may be partly filled.
    [[nodiscard]] std::int64_t least_per_node() const { return ranks - (nodes - 1) * per_node; }
};

/// `ranks` ranks, `stride` apart in rank order. A group that fits on one node is taken to lie on one: groups of consecutive blocks
/// of ranks * stride straddle nodes only when that does not divide the node's devices.
[[nodiscard]] inline Placement place(std::int64_t ranks, std::int64_t stride, const cluster::Cluster& cluster) {
    if (cluster.fabric.devices_apart) return {ranks, 1, ranks, 1};
    if (ranks * stride <= cluster.devices_per_node) return {ranks, ranks, 1, 1};
    const std::int64_t per_node = std::clamp<std::int64_t>(cluster.devices_per_node / stride, 1, ranks);
    return {ranks, per_node, (ranks + per_node - 1) / per_node, std::max<std::int64_t>(1, stride / cluster.devices_per_node)};
}

} // namespace zerosim::cost
