// Which collectives of a step the library would run otherwise on other links: NCCL chooses algorithm and protocol by its own estimates.
// Called by sensitivity (improved clusters) and simulate_report (slow and failed links).
// Does not time: what a choice costs is cost/.
#pragma once

#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::cli {

/// Collectives of a step (equal ones count once) that another algorithm or protocol would run on one of the clusters that `then` has for their
/// axis. The library may choose worse: more of a thing can cost time, and less of it save some.
[[nodiscard]] std::int64_t chosen_otherwise(const schedule::Schedule& schedule, const cluster::Cluster& now,
                                            const std::vector<std::vector<cluster::Cluster>>& then);

/// By axis: the cluster as each of its groups sees it whose links are weaker, once each. Links of a pair (`pair:RANK-RANK`) are not looked at.
[[nodiscard]] std::vector<std::vector<cluster::Cluster>> clusters_of_faulty_groups(const schedule::Schedule& schedule, const cluster::Cluster& cluster);

}  // namespace zerosim::cli
