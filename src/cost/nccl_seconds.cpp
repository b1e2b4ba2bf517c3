#include "cost/nccl_seconds.hpp"

#include "cost/nccl_tables.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace zerosim::cost {
namespace {

using enum CollectiveKind;

constexpr double kMicro = 1e-6;
constexpr double kFittedDevices = 8;   // of a node, at most
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
    /// The slice that no link carries: nccl-tests' out-of-place gather copies it from send to receive. An all-reduce has none, but where
    /// links are as fast as the kernel, what it reads and adds of its own costs as much; PCIe hides that (RTX PRO 6000, 2 GPUs:
    /// all-reduce 37 GB/s, gather and scatter 31).
    [[nodiscard]] double copy_seconds() const {
        const bool copies = within.copy_rate > 0 && kind != broadcast && (topology.nvlink || kind != all_reduce);
        return copies ? bytes / ranks / (within.copy_rate * topology.achieved_links) : 0.0;
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

/// Of the node whose cards carry least for the group: what enters and leaves all others passes there too.
double node_cards(const Task& t) { return t.topology.achieved_network * t.topology.shares; }

/// Large rings over nodes: the slower of the links within and all the group's cards of a node. A lone device sends and receives by itself.
double rate_across(const Task& t) {
    const double cards = node_cards(t) * (t.place.least_per_node() == 1 ? t.across.lone_rate : 1.0);
    return t.place.per_node == 1 ? cards : std::min(t.topology.achieved_within, cards);
}

/// 8 bytes of data and 8 of flags, and 16 KiB to a step: the channels of a card keep few bytes on their way. Measured on cards of 400
/// Gbit/s; faster ones are taken to have more of them in proportion. Of all cards no more than NCCL's own limit (llMaxBws of tuning.cc).
double ll_rate_across(const Task& t) {
    constexpr double kMeasuredCard = 50e9;
    const double faster = std::max(1.0, t.topology.network * t.topology.shares / t.topology.cards / kMeasuredCard);
    const double most = nccl::kLlMaxBw[static_cast<std::size_t>(t.topology.generation)][t.place.nodes == 2 ? 1 : 2];
    return std::min(rate_across(t) / 2, std::min(t.topology.cards * faster * t.across.ring_ll_card, most) * 1e9);
}

double ring_across(const Task& t, Protocol protocol) {
    const double transfer = t.sent() / rate_across(t);
    const double hops = (t.steps - t.steps_between) * t.hop;
    const double network = t.steps_between * t.network;
    switch (protocol) {
        case Protocol::ll: return hops + network + t.sent() / ll_rate_across(t);
        case Protocol::ll128:
            return hops * t.across.ring_ll128_hop + network * t.across.ring_ll128_network + transfer * t.across.ring_ll128_cost +
                   t.copy_seconds();
        case Protocol::simple: break;
    }
    // The first chunk passes all hops; then the steps between nodes overlap with the transfer. A ring of one device a node does not.
    const double between = network * t.across.ring_simple_network;
    return hops * t.across.ring_simple_hop + (t.place.per_node == 1 ? between + transfer : std::hypot(between, transfer)) + t.copy_seconds();
}

/// PAT (one device a node): parallel trees of log2 steps, and what NCCL counts for each rank's part (tuning.cc). With two ranks the
/// ring's one step.
double pat_seconds(const Task& t) {
    constexpr double kPart = 2.8e-6;
    const double steps = std::ceil(std::log2(t.ranks));
    return steps * t.network * t.across.ring_simple_network + (t.ranks - 2) * kPart + t.sent() / rate_across(t) + t.copy_seconds();
}

double tree_levels(const Task& t) { return static_cast<double>(std::bit_width(static_cast<std::uint64_t>(t.place.nodes)) - 1); }

/// A chain of more devices than the fitted nodes have passes each chunk on as many times more before all of it is on its way:
/// 512 KiB (an eighth of NCCL_BUFFSIZE, 4 MiB) at a channel's rate, and a step. One sweep knows it: 20 racks of GB200.
double chain_fill_seconds(const Task& t, double channel_rate) {
    constexpr double kChunkBytes = 512 * 1024;
    const double more = std::max(0.0, static_cast<double>(t.place.per_node) - kFittedDevices);
    return 2 * more * (kChunkBytes / channel_rate + t.hop * t.within.simple_hop);
}

/// Up and down: chains within the nodes, a double binary tree over them.
double tree_seconds(const Task& t, Protocol protocol) {
    const double hops = 2 * static_cast<double>(t.place.per_node - 1) * t.hop;
    const double network = 2 * tree_levels(t) * t.network;
    double rate = t.topology.achieved_within;
    if (t.place.nodes > 1) rate = std::min(rate, node_cards(t) * (t.place.nodes == 2 ? 2.0 : 1.0));
    const double transfer = 2 * t.bytes / (rate * t.across.tree_rate);
    switch (protocol) {
        case Protocol::ll:
            return hops + network * (1 + t.across.tree_ll_ramp_network * ramp(t.bytes, kLlRampBytes)) + transfer * t.across.tree_ll_cost;
        case Protocol::ll128:
            return t.across.tree_ll128_start_us * kMicro + hops * t.across.tree_ll128_hop + network * t.across.tree_ll128_network +
                   transfer * t.across.tree_ll128_cost;
        case Protocol::simple: break;
    }
    const double fill = t.across.tree_ramp_us * kMicro * ramp(t.bytes, t.across.tree_ramp_bytes);
    const double chain = std::min(hops, 2 * (kFittedDevices - 1) * t.hop); // longer ones: chain_fill_seconds
    const double filled = chain * t.across.ring_simple_hop + network * t.across.ring_simple_network + fill;
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
    const double heads = static_cast<double>(t.place.least_per_node());
    const auto row = static_cast<std::size_t>(t.topology.generation);
    const double within = 2 * t.within.nvls_rate * t.topology.achieved_within / heads * (heads - 1) / heads;
    const double network = node_cards(t) / heads * (t.place.nodes == 2 ? 2.0 : 1.0);
    const double limit = nccl::kPerChMaxNvlsTreeBw[row][t.place.nodes == 2 ? 1 : 2] * 1e9;
    const double rate = heads * std::min({within, network, limit}) * t.ranks / t.steps * t.across.nvls_tree_rate;
    const double levels = tree_levels(t);
    const double start = t.across.nvls_tree_start_us * kMicro + t.across.nvls_tree_network * t.network * levels;
    const double fill = t.across.nvls_tree_ramp_us * kMicro + t.across.nvls_tree_ramp_network * t.network * levels;
    // Up and down the tree in Simple: no sooner than LL128 is. Only networks of much latency, whose small messages no sweep knows, come near.
    const double steps = 2 * levels * t.network * t.across.tree_ll128_network;
    return std::max(steps, start + fill * ramp(t.bytes, t.across.nvls_tree_ramp_bytes)) + t.bytes / rate;
}

/// Every rank sends 1/n of its message to every other, all at once.
double pairs_seconds(const Task& t) {
    const double near = static_cast<double>(t.place.per_node - 1) / t.ranks * t.bytes;
    const auto far = [&t](std::int64_t of_node) { return static_cast<double>(t.place.ranks - of_node) / t.ranks * t.bytes; };
    double transfer = near / (t.topology.achieved_within * (t.topology.bridged ? 1.0 : t.within.pairs_rate));
    if (t.topology.bridged) transfer += t.copy_seconds();
    else if (t.within.pairs_copy > 0) transfer += t.bytes / t.ranks / (t.topology.achieved_links * t.within.pairs_copy);
    const bool over_nodes = t.place.nodes > 1;
    if (over_nodes) {
        const double fewest = static_cast<double>(t.place.least_per_node());
        if (t.place.per_node > 1) transfer = std::max(transfer, far(t.place.per_node) / t.topology.achieved_network);
        transfer = std::max(transfer, far(t.place.least_per_node()) * fewest / node_cards(t));
    }
    // Sweeps over nodes are not published: a peer of another node is taken to cost its sender what one of the same node costs.
    const double latency = t.within.pairs_peer_us * kMicro * (t.ranks - 1) + (over_nodes ? t.network : 0.0);
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
            return t.launch + (place.nodes == 1 ? ring_within(t, choice.protocol) : ring_across(t, choice.protocol));
        case Algorithm::pat: return t.launch + pat_seconds(t);
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
