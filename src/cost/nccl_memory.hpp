// What NCCL's buffers take of a device: connections of the algorithms that a program's collectives choose, one set a process group.
// Called by cli/ for `memory.communicator_bytes`, which stands beside what the allocator holds.
// Counts what is connected lazily (NCCL 2.22 and later); user buffers and the context are not its business.
#pragma once

#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"

#include <cstdint>

namespace zerosim::cost {

/// Bytes of one rank; 0 on CPUs, for one rank, where nothing is sent, and for libraries other than NCCL, whose buffers are not known.
[[nodiscard]] std::int64_t nccl_memory_bytes(const schedule::Schedule& schedule, const schedule::Program& program, const cluster::Cluster& cluster);

}  // namespace zerosim::cost
