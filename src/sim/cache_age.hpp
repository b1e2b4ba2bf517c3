// Cache ages: which part of what a collective sends other work has driven out of a core's own and the last-level cache when it starts.
// Called by sim::durations for ranks on CPUs.
// Knows addresses and bytes, no times; sets, ways and prefetching are not modelled.
#pragma once

#include "cluster/cluster.hpp"
#include "cost/cost.hpp"
#include "schedule/schedule.hpp"

#include <vector>

namespace zerosim::sim {

/// By op; only collectives have one, and the result is empty where none takes time or the cluster says nothing of cold links. Init, first,
/// then steady steps run in issue order, each rank with its core's own cache and its part of the last-level cache; the last step's ages count.
/// What is gone of a page follows from the bytes that came into that cache since it was last touched, over the cache's size (Mattson et al.,
/// "Evaluation techniques for storage hierarchies", IBM Systems Journal 9(2), 1970). The transport's own memory was last touched by the
/// collective before, and what only short or only announced messages need by the last of those.
[[nodiscard]] std::vector<cost::Coldness> coldness_of_collectives(const schedule::Schedule& schedule, const schedule::Program& program,
                                                                  const cluster::Cluster& cluster);

} // namespace zerosim::sim
