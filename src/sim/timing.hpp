// What a simulation works out before it runs: ends that count and link demands of a program, which ranks to trace.
// Called by sim::simulate.
// Holds no clocks.
#pragma once

#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"
#include "sim/rank_variation.hpp"
#include "sim/role_clock.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace zerosim::sim {

/// More ranks than this and a trace keeps a few, beside statistics of all.
inline constexpr std::size_t kMostTracedRanks = 64;

/// Collectives of different communicators, which can run at the same time and share links.
[[nodiscard]] bool several_communicators(const schedule::Schedule& schedule);
/// Refers to `durations`.
[[nodiscard]] Timing timing(const schedule::Schedule& schedule, const schedule::Program& program, const Durations& durations,
                            const cluster::Cluster& cluster, std::span<const LinkShare> link_classes, bool share_links);
/// All ranks, or the first, the last, the fastest and the slowest, and the first of each range that the variation names; ascending.
[[nodiscard]] std::vector<std::int64_t> traced_ranks(const cluster::Variation& variation, std::span<const double> factors);

} // namespace zerosim::sim
