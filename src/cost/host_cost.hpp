// What crosses to the host, to its drives, or is computed there: rates that the devices of a node share.
// Called by op_seconds.
// Assumes that all ranks of a node do it at once, as ranks that run one program do.
#pragma once

#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"

namespace zerosim::cost {

/// Bytes a second, one direction, between the memory of one device and that of its host while `ranks` ranks run: the device's own link,
/// its part of the uplink of a PCIe switch, its part of the host's memory; whichever is least. 0 = they are the same memory.
[[nodiscard]] double host_link_bytes_per_second(const cluster::Cluster& cluster, std::int64_t ranks);

/// A copy of `bytes` between two spaces that are not both the device's. Throws ConfigError where the cluster has no drives.
[[nodiscard]] double crossing_seconds(double bytes, schedule::Space from, schedule::Space to, const cluster::Cluster& cluster, std::int64_t ranks);

/// host_compute: an optimizer's update by the host's processors, bound by its memory. Throws ConfigError where that is not known.
[[nodiscard]] double host_compute_seconds(kernel::Kernel kernel, const kernel::Attributes& attributes, DType type,
                                          const cluster::Cluster& cluster, std::int64_t ranks);

/// What a kernel's rate is divided by, less 1, while a collective moves data on its rank. GPUs: the cluster's compute-slowdown. CPUs whose
/// cores all compute: the communication thread goes first (exec/thread_priority) and copies bytes itself, so a kernel stands still; the
/// other threads of its kernel wait for it. Ranks that share cores have that in their share of them.
[[nodiscard]] double slowdown_beside_collectives(const cluster::Cluster& cluster, std::int64_t ranks);

} // namespace zerosim::cost
