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

double ramp(double bytes, double half) { return bytes / (bytes + half); }

/// One collective, its group and its measured constants.
struct Task {
    CollectiveKind kind;
    double bytes;
    const Placement& place;
    const NcclTopology& topology;
    double launch, hop, network; // seconds: `collective.launch`, an LL step within a node, one between nodes
    double ranks, steps, steps_between;
    double neighbour, card; // bytes/s of one device: to the next of its node, and through a network card
    const WithinNode& within;
    const AcrossNodes& across;
    [[nodiscard]] double sent() const { return bytes * ring_factor(kind, place.ranks); }
    /// The slice that no link carries: nccl-tests' out-of-place gather copies it from send to receive, a scatter's kernel reads it to add. An
    /// all-reduce copies none, but where links are as fast as the kernel, what it reads and adds of its own costs part of that; PCIe hides
    /// it (RTX PRO 6000, 2 GPUs: all-reduce 37 GB/s, gather and scatter 31).
    [[nodiscard]] double copy_seconds() const {
        if (within.copy_rate <= 0 || kind == broadcast || kind == reduce) return 0.0;
        return bytes / ranks / (within.copy_rate * topology.achieved_links) * (kind == all_reduce ? within.all_reduce_copy : 1.0);
    }
    /// Simple and all-to-all start later with large buffers: between 16 and 256 MiB A100s lose, as fitted, 45 us more, H100s 37 and an all-to-all of
    /// B200s 11. These are the sizes that no longer fit in the devices' caches (40, 50, 126 MiB), which is taken to be why.
    [[nodiscard]] double memory_seconds(double most_us) const { return most_us * kMicro * ramp(bytes, within.memory_bytes); }
};

/// Over NVLink LL's bytes move while its steps wait, so the larger of both counts (root of the sum of squares: B200 takes 10 us with 512 KiB
/// as with 32, 23 with 4 MiB); over PCIe they add up (RTX PRO 6000).
double ll_within(const Task& t, double moved) {
    const double steps = t.steps * t.hop + t.within.ll_ramp_us * kMicro * ramp(t.bytes, kLlRampBytes);
    return t.topology.nvlink ? std::hypot(steps, moved * t.within.ll_cost) : steps + moved * t.within.ll_cost;
}

double ring_within(const Task& t, Protocol protocol) {
    const double transfer = t.sent() / t.topology.achieved_within;
    switch (protocol) {
        case Protocol::ll:
            return ll_within(t, transfer + t.copy_seconds());
        case Protocol::ll128:
            return t.within.ll128_start_us * kMicro + t.steps * t.hop * t.within.ll128_hop + (transfer + t.copy_seconds()) * t.within.ll128_cost;
        case Protocol::simple: break;
    }
    return t.within.simple_start_us * kMicro + std::hypot(t.steps * t.hop * t.within.simple_hop, transfer) + t.copy_seconds() +
           t.memory_seconds(t.within.memory_us);
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

/// Sends and receives of `bytes` within a node, over links of `rate` for rings.
double pair_transfer(const Task& t, double bytes, double rate) { return bytes / (rate * (t.topology.bridged ? 1.0 : t.within.pairs_rate)); }

/// 1/n of the message, which is sent to the rank itself.
double own_part_seconds(const Task& t) {
    if (t.topology.bridged) return t.copy_seconds();
    return t.within.pairs_copy > 0 ? t.bytes / t.ranks / (t.topology.achieved_links * t.within.pairs_copy) : 0.0;
}

/// Over nodes a step of Simple, as the ring's. A peer of another node is taken to cost its sender what one of the same node costs: sweeps of
/// all-to-all over nodes are not published.
double pairs_start(const Task& t, double peers) {
    const double latency = t.within.pairs_peer_us * kMicro * peers + (t.place.nodes > 1 ? t.network * t.across.ring_simple_network : 0.0);
    return latency + t.within.pairs_ramp_us * kMicro * ramp(t.bytes, t.within.pairs_ramp_bytes) + t.memory_seconds(t.within.pairs_memory_us);
}

/// Of a message that is in equal parts for all ranks, what is not for `of_node` of them.
double beyond(const Task& t, std::int64_t of_node) { return static_cast<double>(t.place.ranks - of_node) / t.ranks * t.bytes; }

/// Every rank sends 1/n of its message to every other, all at once.
double all_to_all_seconds(const Task& t) {
    const double near = static_cast<double>(t.place.per_node - 1) / t.ranks * t.bytes;
    double transfer = pair_transfer(t, near, t.topology.achieved_within) + own_part_seconds(t);
    if (t.place.nodes > 1) {
        const double fewest = static_cast<double>(t.place.least_per_node());
        if (t.place.per_node > 1) transfer = std::max(transfer, beyond(t, t.place.per_node) / t.topology.achieved_network);
        transfer = std::max(transfer, beyond(t, t.place.least_per_node()) * fewest / node_cards(t));
    }
    return pairs_start(t, t.ranks - 1) + transfer;
}

/// Gather and scatter: as much passes through the root's links as of any rank in an all-to-all, but what is of other nodes through its one card.
double rooted_seconds(const Task& t) {
    const double near = static_cast<double>(t.place.per_node - 1) / t.ranks * t.bytes;
    const double transfer = pair_transfer(t, near, t.topology.achieved_within) + own_part_seconds(t);
    return pairs_start(t, t.ranks - 1) + (t.place.nodes > 1 ? std::max(transfer, beyond(t, t.place.per_node) / t.card) : transfer);
}

/// Every rank sends all of it to the next one; of a node one device sends over the network, and another receives.
double send_recv_seconds(const Task& t) {
    double transfer = t.place.per_node > 1 ? pair_transfer(t, t.bytes, t.neighbour) : 0.0;
    if (t.place.nodes > 1) transfer = std::max(transfer, t.bytes / (t.card * (t.place.per_node == 1 ? t.across.lone_rate : 1.0)));
    return pairs_start(t, 1) + transfer;
}

double pairs_seconds(const Task& t) {
    if (t.kind == all_to_all) return all_to_all_seconds(t);
    return t.kind == send_recv ? send_recv_seconds(t) : rooted_seconds(t);
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
            topology.achieved_within * neighbour_part(place, cluster),
            topology.achieved_network * card_of_device(place, cluster),
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
