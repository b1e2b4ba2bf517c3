// The same cluster when collectives are forced onto one path within a node (option `transport`): what the path costs.
// Called by config/ when a scenario is resolved for another cluster than this machine.
// Estimates from a cluster's PCIe links and few measured efficiencies; measures nothing.
#pragma once

#include "base/transport.hpp"
#include "cluster/cluster.hpp"

namespace zerosim::cluster {

/// ConfigError where the cluster has no such path, or for `ranks` of a node not between all of them.
[[nodiscard]] Cluster over(Cluster cluster, Transport transport, std::int64_t ranks);

/// The path within a node that the cluster's library takes by itself: nvlink or pcie (which includes host memory where GPUs do not reach each other).
[[nodiscard]] Transport usual_path(const Cluster& cluster);

} // namespace zerosim::cluster
