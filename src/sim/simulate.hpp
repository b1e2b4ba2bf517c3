// sim::simulate: a schedule in virtual time. Symmetric ranks share one clock: cost is O(roles * ops).
// Called by cli/ and search/; its trace has the same form as exec/'s.
// Does not know strategies; durations come from cost/.
#pragma once

#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

namespace zerosim::sim {

/// Simulates init and `steps` steps. Deterministic.
[[nodiscard]] trace::Trace simulate(const schedule::Schedule& schedule, const cluster::Cluster& cluster, int steps);

} // namespace zerosim::sim
