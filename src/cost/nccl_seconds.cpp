#include "cost/nccl_seconds.hpp"

#include "cost/nccl_tables.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace zerosim::cost {
namespace {

using enum CollectiveKind;

constexpr double kMicro = 1e-6;
constexpr double kLlRampBytes = 65536; // NCCL_LL_THREAD_THRESHOLD * threads * channels, of 8 ranks: about this

/// One collective, its group and its measured constants.
struct Task {
    CollectiveKind kind;
    double bytes;
    const Placement& place;
    const NcclTopology& topology;
    double launch, hop, network; // seconds: `collective.launch`, an LL step within a node, one between nodes
    double ranks, steps, steps_between;
    const WithinNode& within;
    const AcrossNodes& across;
    [[nodiscard]] double sent() const { return bytes * ring_factor(kind, place.ranks); }
    /// The slice that no link carries: nccl-tests' out-of-place gather copies it from send to receive.
    [[nodiscard]] double copy_seconds() const {
        return within.copy_rate > 0 ? bytes / ranks / (within.copy_rate * topology.achieved_links) : 0.0;
    }
};

double ramp(double bytes, double half) { return bytes / (bytes + half); }

double ring_within(const Task& t, Protocol protocol) {
    const double transfer = t.sent() / t.topology.achieved_within;
    switch (protocol) {
        case Protocol::ll:
            return t.steps * t.hop + transfer * t.within.ll_cost + t.within.ll_ramp_us * kMicro * ramp(t.bytes, kLlRampBytes);
        case Protocol::ll128:
            return t.within.ll128_start_us * kMicro + t.steps * t.hop * t.within.ll128_hop + transfer * t.within.ll128_cost;
        case Protocol::simple: break;
    }
    return t.within.simple_start_us * kMicro + std::hypot(t.steps * t.hop * t.within.simple_hop, transfer) + t.copy_seconds();
}

/// Large rings over nodes: the slower of the links within and all the group's cards of a node.
double rate_across(const Task& t) {
    const double cards = t.topology.achieved_network * static_cast<double>(t.place.per_node);
    return t.place.per_node == 1 ? cards * t.across.lone_rate : std::min(t.topology.achieved_within, cards);
}

double ring_across(const Task& t, Protocol protocol) {
    const double transfer = t.sent() / rate_across(t);
    const double hops = (t.steps - t.steps_between) * t.hop;
    const double network = t.steps_between * t.network;
    switch (protocol) {
        case Protocol::ll: return hops + network + transfer * t.across.ring_ll_cost;
        case Protocol::ll128:
            return hops * t.across.ring_ll128_hop + network * t.across.ring_ll128_network + transfer * t.across.ring_ll128_cost +
                   t.copy_seconds();
        case Protocol::simple: break;
    }
    return hops * t.across.ring_simple_hop + network * t.across.ring_simple_network + transfer + t.copy_seconds();
}

double tree_levels(const Task& t) { return static_cast<double>(std::bit_width(static_cast<std::uint64_t>(t.place.nodes)) - 1); }

/// A chain of more devices than the fitted nodes have passes each chunk on as many times more before all of it is on its way:
/// 512 KiB (an eighth of NCCL_BUFFSIZE, 4 MiB) at a channel's rate, and a step. One sweep knows it: 20 racks of GB200.
double chain_fill_seconds(const Task& t, double channel_rate) {
    constexpr double kChunkBytes = 512 * 1024, kFittedDevices = 8;
    const double more = std::max(0.0, static_cast<double>(t.place.per_node) - kFittedDevices);
    return 2 * more * (kChunkBytes / channel_rate + t.hop * t.within.simple_hop);
}

/// Up and down: chains within the nodes, a double binary tree over them.
double tree_seconds(const Task& t, Protocol protocol) {
    const double hops = 2 * static_cast<double>(t.place.per_node - 1) * t.hop;
    const double network = 2 * tree_levels(t) * t.network;
    double rate = t.topology.achieved_within;
    if (t.place.nodes > 1) {
        const double cards = t.topology.achieved_network * static_cast<double>(t.place.per_node);
        rate = std::min(rate, cards * (t.place.nodes == 2 ? 2.0 : 1.0));
    }
    const double transfer = 2 * t.bytes / (rate * t.across.tree_rate);
    switch (protocol) {
        case Protocol::ll:
            return hops + network * (1 + t.across.tree_ll_ramp_network * ramp(t.bytes, kLlRampBytes)) + transfer * t.across.tree_ll_cost;
        case Protocol::ll128:
            return hops * t.across.tree_ll128_hop + network * t.across.tree_ll128_network + transfer * t.across.tree_ll128_cost;
        case Protocol::simple: break;
    }
    const double fill = t.across.tree_ramp_us * kMicro + t.across.tree_ramp_network * t.network;
    const double filled = hops + network + fill * ramp(t.bytes, t.across.tree_ramp_bytes);
    if (!t.topology.many_hosts || t.place.nodes == 1) return filled + transfer;
    return filled + 2 * t.bytes / rate + chain_fill_seconds(t, rate / static_cast<double>(t.topology.channels));
}

double nvls_within(const Task& t) {
    const double rate = t.within.nvls_rate * t.topology.achieved_within;
    // Every device is a head with chunks of its own to fill: fitted with up to 8, and taken to grow with more (GB200, 72: docs/accuracy.md).
    const double heads = std::max(1.0, t.ranks / 8);
    return t.within.nvls_start_us * kMicro +
           heads * t.within.nvls_ramp_us * kMicro * ramp(t.bytes, heads * t.within.nvls_ramp_bytes) +
           t.bytes / rate * (t.kind == all_reduce ? 1.0 : t.ranks / (t.ranks - 1)); // as the estimates go
}

/// The switches add and multicast within nodes, a tree over the nodes adds the heads' parts.
double nvls_tree_seconds(const Task& t) {
    const double heads = static_cast<double>(t.place.per_node);
    const auto row = static_cast<std::size_t>(t.topology.generation);
    const double within = 2 * t.within.nvls_rate * t.topology.achieved_within / heads * (heads - 1) / heads;
    const double network = t.topology.achieved_network * (t.place.nodes == 2 ? 2.0 : 1.0);
    const double limit = nccl::kPerChMaxNvlsTreeBw[row][t.place.nodes == 2 ? 1 : 2] * 1e9;
    const double rate = heads * std::min({within, network, limit}) * t.ranks / t.steps * t.across.nvls_tree_rate;
    const double levels = tree_levels(t);
    const double start = t.across.nvls_tree_start_us * kMicro + t.across.nvls_tree_network * t.network * levels;
    const double fill = t.across.nvls_tree_ramp_us * kMicro + t.across.nvls_tree_ramp_network * t.network * levels;
    return start + fill * ramp(t.bytes, t.across.nvls_tree_ramp_bytes) + t.bytes / rate;
}

/// Every rank sends 1/n of its message to every other, all at once.
double pairs_seconds(const Task& t) {
    const double near = static_cast<double>(t.place.per_node - 1) / t.ranks * t.bytes;
    const double far = static_cast<double>(t.place.ranks - t.place.per_node) / t.ranks * t.bytes;
    double transfer = near / (t.topology.achieved_within * (t.topology.bridged ? 1.0 : t.within.pairs_rate));
    if (t.within.pairs_limit > 0)
        transfer = std::max(transfer, t.bytes / (t.topology.achieved_links * t.within.pairs_limit));
    if (far > 0) transfer = std::max(transfer, far / t.topology.achieved_network);
    // Sweeps over nodes are not published: a peer of another node is taken to cost its sender what one of the same node costs.
    const double latency = t.within.pairs_peer_us * kMicro * (t.ranks - 1) + (far > 0 ? t.network : 0.0);
    return latency + t.within.pairs_ramp_us * kMicro * ramp(t.bytes, t.within.pairs_ramp_bytes) + transfer;
}

Task task(CollectiveKind kind, double bytes, const Placement& place, const NcclTopology& topology,
          const cluster::Cluster& cluster, const NcclMeasured& measured) {
    const double rounds = kind == all_reduce ? 2 : 1;
    return {kind,
            bytes,
            place,
            topology,
            cluster.collective_launch_seconds,
            cluster.intra_node.latency_seconds,
            cluster.network.latency_seconds,
            static_cast<double>(place.ranks),
            rounds * static_cast<double>(place.ranks - 1),
            rounds * static_cast<double>(place.nodes - 1),
            measured.within,
            measured.across};
}

} // namespace

double nccl_seconds(const NcclChoice& choice, CollectiveKind kind, double bytes, const Placement& place,
                    const NcclTopology& topology, const cluster::Cluster& cluster, const NcclMeasured& measured) {
    const Task t = task(kind, bytes, place, topology, cluster, measured);
    switch (choice.algorithm) {
        case Algorithm::ring:
        case Algorithm::pat: // PAT of two ranks is the ring's one step; more ranks: log2 steps
            return t.launch + (place.nodes == 1 ? ring_within(t, choice.protocol) : ring_across(t, choice.protocol));
        case Algorithm::tree: return t.launch + tree_seconds(t, choice.protocol);
        case Algorithm::nvls: return t.launch + nvls_within(t);
        case Algorithm::nvls_tree: return t.launch + nvls_tree_seconds(t);
        case Algorithm::pairs: return t.launch + pairs_seconds(t);
        case Algorithm::exchange:
        case Algorithm::recursive:
        case Algorithm::bruck:
        case Algorithm::hierarchical: break;
    }
    return 0.0;
}

} // namespace zerosim::cost
