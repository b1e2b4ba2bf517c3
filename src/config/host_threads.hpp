// Threads of a rank's kernels on processors: of the compute stream of a CPU rank, and of what runs on the host beside a GPU.
// Called by resolve().
// Binds nothing: the launcher does.
#pragma once

#include "cluster/cluster.hpp"
#include "config/resolve.hpp"
#include "config/values.hpp"

#include <cstdint>

namespace zerosim::config {

/// compute-threads: where it is 0, the cores of this machine shared by its ranks. Returns what was asked, 0 = nothing.
std::int64_t settle_threads(Values& values, const Machine& machine, std::int64_t ranks);

/// Of a rank's host kernels beside a GPU (OMP_NUM_THREADS): as asked, else as the system's launcher sets it; 0 = it does not.
[[nodiscard]] std::int64_t host_threads(std::int64_t asked, const Values& values, const cluster::Cluster& cluster, std::int64_t ranks);
/// What a simulation of GPUs shows as compute-threads: not this machine's cores, which settle_threads() left there.
void show_host_threads(Values& values, std::int64_t threads);

} // namespace zerosim::config
