// make_mpi_doorbell: the doorbell of a job whose ranks share one node.
// Called by cli/ once, on every rank, before the communication threads begin.
// Does not serve jobs on several nodes: their ranks poll.
#pragma once

#include "comm/doorbell.hpp"
#include "comm/mpi_handle.hpp"

#include <memory>

namespace zerosim::comm {

/// Collective over `world`. Null, on all ranks alike, where the ranks are on several nodes or cannot share memory.
[[nodiscard]] std::unique_ptr<Doorbell> make_mpi_doorbell(MPI_Comm world);

} // namespace zerosim::comm
