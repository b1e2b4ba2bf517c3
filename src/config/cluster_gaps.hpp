// What a cluster file leaves out that makes predicted times lower bounds: a device at its peak, links without latency.
// Called by resolve() and `zerosim collectives --predict` for a warning.
// Does not refuse: an ideal machine may be what is asked.
#pragma once

#include "cluster/cluster.hpp"
#include "strategy/scenario.hpp"

#include <string>

namespace zerosim::config {

/// One sentence that names the keys; empty for CPUs and where nothing is missing. `kernels`: those of the device too.
[[nodiscard]] std::string cluster_gaps(const cluster::Cluster& cluster, bool kernels);
/// What a GPU cannot do in the asked precision, and what PyTorch does instead; empty if it can.
[[nodiscard]] std::string precision_gap(const strategy::Scenario& scenario);
/// What is assumed of a GPU whose libraries' choices are not known; empty if they are.
[[nodiscard]] std::string architecture_gap(const strategy::Scenario& scenario);

} // namespace zerosim::config
