// ncclTopoTuneModel and ncclTopoGetAlgoTime of NCCL 2.30, without what environment variables change.
#include "cost/nccl_tuning.hpp"

#include "cost/nccl_tables.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

namespace zerosim::cost {
namespace {

using namespace nccl;
using enum CollectiveKind;

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kMicro = 1e-6, kGiga = 1e9;

/// One collective of one group, in tuning.cc's terms.
struct Question {
    CollectiveKind kind;
    double bytes;
    const Placement& place;
    const NcclTopology& topology;
    double ranks, nodes, per_node;
    std::size_t row, by_nodes; // index1 and index2
    const HardwareLatency& within;
    [[nodiscard]] bool gathers() const { return kind == all_gather || kind == reduce_scatter; }
    [[nodiscard]] double steps() const { return kind == all_reduce ? 2 * (ranks - 1) : gathers() ? ranks - 1 : ranks; }
    [[nodiscard]] double steps_between_nodes() const {
        if (place.nodes == 1) return 0;
        return kind == all_reduce ? 2 * (nodes - 1) : gathers() ? nodes - 1 : nodes;
    }
};

int floor_log2(double value) { return value < 2 ? 0 : std::bit_width(static_cast<std::uint64_t>(value)) - 1; }

/// latency in us, bandwidth of the algorithm in bytes/s.
double seconds(const Question& q, double latency, double bandwidth) {
    return bandwidth > 0 ? latency * kMicro + q.bytes / bandwidth : kNever;
}

double ring_latency(const Question& q, Protocol protocol) {
    const auto p = static_cast<std::size_t>(protocol);
    if (q.kind == broadcast || q.kind == reduce) return kRingBaseLat[p] + (q.place.nodes > 1 ? kNetLat.ring[p] : q.within.ring[p]);
    const double between = q.steps_between_nodes();
    const double overhead = q.place.nodes == 1 ? 0 : protocol == Protocol::simple ? 3 * kNetOverhead : kNetOverhead;
    const double across = q.place.per_node == 1 ? kNetLat.tree[p] : kNetLat.ring[p];
    const double latency = kRingBaseLat[p] + (q.steps() - between) * std::max(q.within.ring[p], overhead) + between * across;
    const bool plateau = q.kind == all_reduce && q.place.nodes > 1 && protocol == Protocol::simple &&
                         q.bytes / (static_cast<double>(q.topology.channels) * q.ranks) >= kPlateauBytes;
    return latency * (!plateau ? 1.0 : q.row == 0 ? kRingPlateauBeforeAmpere : kRingPlateau);
}

double ring_seconds(const Question& q, Protocol protocol) {
    double bandwidth = q.topology.ring;
    if (protocol == Protocol::ll) bandwidth = std::min(kLlMaxBw[q.row][q.by_nodes] * kGiga, bandwidth / 2);
    if (protocol == Protocol::ll128)
        bandwidth = std::min(kRingLl128Efficiency * bandwidth,
                             static_cast<double>(q.topology.channels) * kPerChMaxRingLl128Bw[q.row] * kGiga);
    return seconds(q, ring_latency(q, protocol), bandwidth * q.ranks / q.steps());
}

double tree_seconds(const Question& q, Protocol protocol) {
    if (q.kind != all_reduce) return kNever;
    const auto p = static_cast<std::size_t>(protocol);
    const double channels = static_cast<double>(q.topology.channels) * kGiga;
    double bandwidth = std::min(kTreeEfficiency * q.topology.tree, channels * kPerChMaxTreeBw[q.row][q.by_nodes]);
    if (protocol == Protocol::ll) bandwidth = std::min(bandwidth * kTreeLlShare, kLlMaxBw[q.row][q.by_nodes] * kGiga);
    if (protocol == Protocol::ll128)
        bandwidth = std::min(bandwidth * (q.place.nodes == 1 ? kTreeLl128WithinNode : kTreeLl128),
                             channels * kPerChMaxTreeLl128Bw[q.row][q.by_nodes]);
    const auto size = static_cast<std::size_t>(floor_log2(q.bytes / 64));
    if (size < kCorrections) bandwidth *= kTreeCorrection[p][size];
    const double latency =
        kTreeBaseLat[p] + 2 * ((q.per_node - 1) * q.within.tree[p] + floor_log2(q.nodes) * kNetLat.tree[p]);
    return seconds(q, latency, bandwidth / 2);
}

double nvls_seconds(const Question& q, Protocol protocol) {
    if (!q.topology.nvls || protocol != Protocol::simple || q.place.nodes > 1 || (q.kind != all_reduce && !q.gathers())) return kNever;
    const double heads = q.per_node;
    const double share = q.kind == all_reduce ? 2.0 : (heads - 1) / heads;
    const double bandwidth = heads * q.topology.head * kNvlsEfficiency[q.row] * (heads - 1) / heads * share;
    return seconds(q, kNvlinkLat.nvls, bandwidth * q.ranks / q.steps());
}

double nvls_tree_seconds(const Question& q, Protocol protocol) {
    if (!q.topology.nvls || protocol != Protocol::simple || q.place.nodes == 1 || q.kind != all_reduce) return kNever;
    const double heads = static_cast<double>(q.place.least_per_node());
    const double within = q.topology.head * kNvlsEfficiency[q.row] * (heads - 1) / heads * 2;
    const double across = q.topology.network * q.topology.shares / heads * (q.place.nodes == 2 ? 2.0 : 1.0);
    const double head = std::min({within, across, kPerChMaxNvlsTreeBw[q.row][q.by_nodes] * kGiga});
    const double latency = kNvlinkLat.nvls_tree + 2 * floor_log2(q.nodes) * kNetLat.nvls_tree;
    return seconds(q, latency, heads * head * q.ranks / q.steps());
}

double pat_seconds(const Question& q, Protocol protocol) {
    if (!q.gathers() || q.place.per_node > 1 || q.place.nodes == 1 || protocol != Protocol::simple) return kNever;
    const double latency = kPatBaseLat + floor_log2(q.nodes) * kNetLat.pat / 3.5 + 2.8 * q.ranks;
    return seconds(q, latency, kPatEfficiency * q.topology.ring * q.ranks / q.steps());
}

Question question(CollectiveKind kind, double bytes, const Placement& place, const NcclTopology& topology) {
    return {kind,
            bytes,
            place,
            topology,
            static_cast<double>(place.ranks),
            static_cast<double>(place.nodes),
            static_cast<double>(place.per_node),
            static_cast<std::size_t>(topology.generation),
            static_cast<std::size_t>(std::min<std::int64_t>(place.nodes, 3) - 1),
            topology.nvlink ? kNvlinkLat : kPciLat};
}

/// LL128 needs NVLink within the node, and a network that keeps 128 bytes together.
bool has_ll128(const Question& q, bool network_ll128) { return q.topology.nvlink && (q.place.nodes == 1 || network_ll128); }

/// What NCCL_ALGO and NCCL_PROTO leave. Where they leave nothing, as of a tree for a gather, NCCL takes the ring in Simple.
bool allowed(const Question& q, Algorithm algorithm, Protocol protocol) {
    const auto has = [](unsigned bits, auto which) { return bits == 0 || (bits >> static_cast<unsigned>(which) & 1U) != 0; };
    return has(q.topology.algorithms, algorithm) && has(q.topology.protocols, protocol);
}

double estimate(const Question& q, Algorithm algorithm, Protocol protocol) {
    switch (algorithm) {
        case Algorithm::ring: return ring_seconds(q, protocol);
        case Algorithm::tree: return tree_seconds(q, protocol);
        case Algorithm::nvls: return nvls_seconds(q, protocol);
        case Algorithm::nvls_tree: return nvls_tree_seconds(q, protocol);
        case Algorithm::pat: return pat_seconds(q, protocol);
        case Algorithm::pairs:
        case Algorithm::exchange:
        case Algorithm::recursive:
        case Algorithm::bruck:
        case Algorithm::hierarchical: return kNever;
    }
    return kNever;
}

} // namespace

bool is_pairs(CollectiveKind kind) { return kind == all_to_all || kind == gather || kind == scatter || kind == send_recv; }

std::string_view name(Algorithm algorithm) {
    constexpr std::array<std::string_view, 10> names{"ring",  "tree",     "nvls",      "nvls-tree", "pat",
                                                     "pairs", "exchange", "recursive", "bruck",     "hierarchical"};
    return names[static_cast<std::size_t>(algorithm)];
}

std::string_view name(Protocol protocol) {
    constexpr std::array<std::string_view, 3> names{"ll", "ll128", "simple"};
    return names[static_cast<std::size_t>(protocol)];
}

double nccl_estimate(Algorithm algorithm, Protocol protocol, CollectiveKind kind, double bytes, const Placement& place,
                     const NcclTopology& topology, bool network_ll128) {
    const Question q = question(kind, bytes, place, topology);
    if (protocol == Protocol::ll128 && !has_ll128(q, network_ll128)) return kNever;
    return estimate(q, algorithm, protocol);
}

NcclChoice nccl_choice(CollectiveKind kind, double bytes, const Placement& place, const NcclTopology& topology,
                       bool network_ll128) {
    if (is_pairs(kind)) return {Algorithm::pairs, Protocol::simple, 0};
    const Question q = question(kind, bytes, place, topology);
    const bool ll128 = has_ll128(q, network_ll128);
    NcclChoice best{Algorithm::ring, Protocol::simple, kNever};
    for (const Algorithm algorithm : {Algorithm::ring, Algorithm::tree, Algorithm::nvls, Algorithm::nvls_tree, Algorithm::pat})
        for (const Protocol protocol : {Protocol::ll, Protocol::ll128, Protocol::simple}) {
            if ((protocol == Protocol::ll128 && !ll128) || !allowed(q, algorithm, protocol)) continue;
            const double time = estimate(q, algorithm, protocol);
            if (time < best.estimated_seconds) best = {algorithm, protocol, time};
        }
    return best;
}

} // namespace zerosim::cost
