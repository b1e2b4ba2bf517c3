// A leaf's nodes send `oversubscription` times what its uplinks carry. Rings and trees pass a leaf's border once for each group that
// lies there; an all-to-all sends most of its bytes across. In a rail, cards of one number share a switch, and NVLink carries
// what is for another number to the card of that number first (NCCL's PXN), so the border is the same as a fat tree's; nodes
// without NVLink send it over the spine.
#include "cost/uplinks.hpp"

namespace zerosim::cost {
namespace {

/// Of the bytes that an all-to-all sends to other nodes, those that leave the leaf (or the rail).
double crossing_part(const Placement& place, const cluster::Cluster& cluster, double nodes_on_leaf) {
    const double others = static_cast<double>(place.nodes) - 1;
    const double near = nodes_on_leaf - 1;
    const bool rails = cluster.fabric.network == cluster::NetworkWiring::rail && cluster.fabric.wiring == cluster::Wiring::pcie;
    const double cards = cluster.fabric.cards > 0 ? static_cast<double>(cluster.fabric.cards) : static_cast<double>(cluster.devices_per_node);
    return 1 - near / others / (rails ? cards : 1.0);
}

} // namespace

double uplink_share(CollectiveKind kind, const Placement& place, const cluster::Cluster& cluster) {
    const cluster::Fabric& fabric = cluster.fabric;
    if (fabric.network == cluster::NetworkWiring::non_blocking || fabric.oversubscription <= 1 || place.nodes <= 1) return 1.0;
    const auto leaf = static_cast<double>(fabric.leaf_nodes), stride = static_cast<double>(place.node_stride);
    const double span = static_cast<double>(place.nodes) * stride;
    const bool leaves = leaf > 0 && span > leaf;
    if (kind == CollectiveKind::all_to_all) {
        const double on_leaf = leaves ? std::max(1.0, leaf / stride) : static_cast<double>(place.nodes);
        return 1 / std::max(1.0, fabric.oversubscription * crossing_part(place, cluster, on_leaf));
    }
    if (!leaves) return 1.0;
    const double groups = std::min(stride, leaf); // of a leaf, each with one node at the border
    return std::min(1.0, leaf / (fabric.oversubscription * groups));
}

} // namespace zerosim::cost
