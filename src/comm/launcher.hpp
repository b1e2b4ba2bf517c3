// Whether an MPI launcher started this process, from the environment alone.
// Called by cli/ before anything touches MPI, so that `zerosim run` without mpirun never initialises it.
// Needs no MPI: a build without it can still say that mpirun was used in vain.
#pragma once

namespace zerosim::comm {

/// Variables of Open MPI's mpirun, of PMI and PMIx (MPICH's hydra, srun --mpi=...), and of a Slurm step of several tasks.
[[nodiscard]] bool launched_by_mpi();
/// Tasks of the Slurm step that this process is one of; 0 outside of srun.
[[nodiscard]] long slurm_tasks();

} // namespace zerosim::comm
