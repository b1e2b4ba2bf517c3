// Cache ages: which part of a collective's buffers other work has driven out of a node's last-level cache when it starts.
// Called by sim::durations for ranks on CPUs.
// Knows addresses and bytes, no times; sets, ways and prefetching are not modelled.
#pragma once

#include "cluster/cluster.hpp"
#include "cost/cost.hpp"
#include "schedule/schedule.hpp"

#include <vector>

namespace zerosim::sim {

/// By op; only collectives have one, and the result is empty where none takes time or the cluster says nothing of cold links. Init, first,
/// then steady steps run in issue order, each rank with its part of the cache; the last step's ages count. A page's age: the bytes that
/// came into that cache since it was last touched, over the cache's size, at most 1 (least recently used goes first: Mattson et al.,
/// "Evaluation techniques for storage hierarchies", IBM Systems Journal 9(2), 1970; which page of a large shared cache goes is not quite
/// that, so that the chance of a miss grows with age instead of jumping from 0 to 1). The transport's own memory was last touched by the
/// collective before. What a core's own, smaller caches lose does not count: measured, small collectives after work that stays in the
/// last-level cache take what they take when repeated.
[[nodiscard]] std::vector<cost::Coldness> coldness_of_collectives(const schedule::Schedule& schedule, const schedule::Program& program,
                                                                  const cluster::Cluster& cluster);

} // namespace zerosim::sim
