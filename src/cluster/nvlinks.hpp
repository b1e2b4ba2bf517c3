// How many links of its own a device has within a node, and what is left of a group's rings when the link of one pair is down.
// Called by config/ (options of failed links) and sim/ (their effect).
// Knows wirings; does not time collectives.
#pragma once

#include "cluster/cluster.hpp"

#include <cstdint>

namespace zerosim::cluster {

/// NVLinks ("bricks"; xGMI links of a full mesh) of a device; 0 where the cluster file does not tell.
[[nodiscard]] std::int64_t links_of_device(const Cluster& cluster);

/// Whether two devices of a node have a link of their own, which can be down alone: not behind NVSwitch or on PCIe.
[[nodiscard]] bool has_pair_links(const Cluster& cluster);

/// Of the bandwidth within the node of a group with `devices` devices there, both ends of the failed link among them.
/// Throws ConfigError where no way is left.
[[nodiscard]] double share_without_pair(const Cluster& cluster, std::int64_t devices);

} // namespace zerosim::cluster
