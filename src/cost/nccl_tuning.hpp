// NCCL's own estimate of every algorithm and protocol, and what it chooses by it (2.30, src/graph/tuning.cc).
// Called by the cost of collectives on GPU clusters and by `zerosim collectives --predict`.
// Does not say how long the choice takes: its estimates order the candidates and miss measured times (nccl_seconds does that).
#pragma once

#include "base/collective.hpp"
#include "cost/nccl_topology.hpp"

#include <string_view>

namespace zerosim::cost {

/// `pairs`: sends and receives between pairs of ranks (is_pairs); `exchange`: the host ranks' own (comm/);
/// the last three: other algorithms of host ranks (host_collectives).
enum class Algorithm : std::uint8_t { ring, tree, nvls, nvls_tree, pat, pairs, exchange, recursive, bruck, hierarchical };
enum class Protocol : std::uint8_t { ll, ll128, simple };

/// Not collectives to NCCL but groups of sends and receives, which have no algorithms.
[[nodiscard]] bool is_pairs(CollectiveKind kind);
[[nodiscard]] std::string_view name(Algorithm algorithm);
[[nodiscard]] std::string_view name(Protocol protocol);

struct NcclChoice {
    Algorithm algorithm = Algorithm::ring;
    Protocol protocol = Protocol::simple;
    double estimated_seconds = 0; // NCCL's, not ours
    [[nodiscard]] friend bool operator==(const NcclChoice&, const NcclChoice&) = default;
};

/// What a candidate is estimated to take; infinity where NCCL does not offer it.
[[nodiscard]] double nccl_estimate(Algorithm algorithm, Protocol protocol, CollectiveKind kind, double bytes, const Placement& place,
                                   const NcclTopology& topology, bool network_ll128);
/// The candidate of the least estimate; the first of equals.
[[nodiscard]] NcclChoice nccl_choice(CollectiveKind kind, double bytes, const Placement& place, const NcclTopology& topology,
                                     bool network_ll128);

} // namespace zerosim::cost
