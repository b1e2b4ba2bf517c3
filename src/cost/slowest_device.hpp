// How much slower the slowest device of a job is than the slowest of a node: equal GPUs differ, and every collective waits for the last.
// Called by op_seconds for kernels; the constants of the cost model were fitted on jobs of 8 GPUs.
// An expectation: variation.* draws devices one by one instead.
#pragma once

#include "cluster/cluster.hpp"

namespace zerosim::cost {

/// 1 for up to 8 devices, for CPUs, for GPUs of no known generation, and where devices do not wait for one another (free
/// communication) or are drawn (variation.device-spread).
[[nodiscard]] double slowest_device_factor(const cluster::Cluster& cluster, std::int64_t ranks);

} // namespace zerosim::cost
