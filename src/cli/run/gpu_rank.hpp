// One rank on a GPU: chooses the device, makes its streams, arenas and NCCL communicators, and runs the schedule.
// Called by the launcher of ranks (mpirun's, or of one rank alone) where the schedule is for CUDA.
// Knows no CUDA header; refuses to share a device unless asked.
#pragma once

#include "cli/run/run_ranks.hpp"
#include "comm/communicator.hpp"
#include "comm/control_channel.hpp"

namespace zerosim::cli {

/// A context on a busy machine of eight GPUs, and NCCL beside it, may take this many seconds, however short timeout-seconds is: that is for what runs.
inline constexpr double kGpuStartSeconds = 60;

/// Where the rank stands: in the job and on its node.
struct GpuPlace {
    int rank = 0, ranks = 1;
    int local_rank = 0, local_ranks = 1;
};
/// From the launcher's variables: Open MPI, MPICH, Slurm.
[[nodiscard]] GpuPlace gpu_place(int rank, int ranks);

/// The GPU of this rank: its local rank among those the process sees. EnvironmentError when two ranks would share one and `share` is not set.
[[nodiscard]] int choose_gpu(const GpuPlace& place, int visible, bool share);

/// `host` carries NCCL's id between the ranks; `control` may be null for one rank.
[[nodiscard]] exec::RankResult run_on_gpu(RunInput& input, const GpuPlace& place, comm::Communicator& host, comm::ControlChannel* control, comm::Progress& progress);

}  // namespace zerosim::cli
