// An optimizer's update over many tensors: what its implementation reads and writes, in the operands' own dtypes.
// Called by op_seconds for multi-tensor updates on GPUs.
// Updates on the host and those of a software stack with a measured traffic are kernel_seconds'.
#pragma once

#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"

namespace zerosim::cost {

/// True for multi-tensor updates whose traffic follows from their operands.
[[nodiscard]] bool is_update_of_tensors(const schedule::Op& op, const cluster::Cluster& cluster);

/// `speed`: of the device, 1 = as its cluster file says.
[[nodiscard]] double update_seconds(const schedule::Program& program, const schedule::Op& op, const cluster::Cluster& cluster, double speed);

} // namespace zerosim::cost
