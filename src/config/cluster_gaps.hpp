// What a cluster file leaves out that makes predicted times lower bounds: a device at its peak, links without latency.
// Called by resolve() and `zerosim collectives --predict` for a warning.
// Does not refuse: an ideal machine may be what is asked.
#pragma once

#include "cluster/cluster.hpp"

#include <string>

namespace zerosim::config {

/// One sentence that names the keys; empty for CPUs and where nothing is missing. `kernels`: those of the device too.
[[nodiscard]] std::string cluster_gaps(const cluster::Cluster& cluster, bool kernels);

} // namespace zerosim::config
