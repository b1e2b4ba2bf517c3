#include "comm/launcher.hpp"

#include <cstdlib>
#include <initializer_list>

namespace zerosim::comm {

bool launched_by_mpi() {
    for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"})
        if (std::getenv(name)) return true;
    return slurm_tasks() > 1;
}

long slurm_tasks() {
    // A plain sbatch script or salloc shell has SLURM_NTASKS too; only srun's tasks have more than one task in their step.
    const char* tasks = std::getenv("SLURM_STEP_NUM_TASKS");
    return tasks ? std::strtol(tasks, nullptr, 10) : 0;
}

} // namespace zerosim::comm
