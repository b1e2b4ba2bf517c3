#include "comm/mpi_session.hpp"

#include "base/error.hpp"
#include "comm/mpi_handle.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <exception>

namespace zerosim::comm {

MpiSession::MpiSession() : exceptions_(std::uncaught_exceptions()) {
    const bool by_srun_alone = slurm_tasks() > 1 && std::getenv("OMPI_COMM_WORLD_SIZE") == nullptr;   // MPI sets it when it starts
    int provided = MPI_THREAD_SINGLE;
    check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
    if (provided < MPI_THREAD_SERIALIZED) {
        throw EnvironmentError(
            fmt::format("MPI provides thread level {} but MPI_THREAD_SERIALIZED ({}) is needed; use an MPI built "
                        "with thread support",
                        provided, MPI_THREAD_SERIALIZED));
    }
    check_mpi(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
    if (by_srun_alone && size_ == 1)   // each task would train a job of its own
        throw EnvironmentError(fmt::format("srun started {} tasks, but MPI sees this one alone: start them with srun --mpi=pmix (srun --mpi=list says what this "
                                           "Slurm has), or with mpirun inside of the allocation", slurm_tasks()));
}

MpiSession::~MpiSession() {
    if (abandoned_ || std::uncaught_exceptions() > exceptions_) return;
    (void)MPI_Finalize();
}

void MpiSession::abort(int code) const noexcept {
    (void)MPI_Abort(MPI_COMM_WORLD, code);
    std::_Exit(code);
}

} // namespace zerosim::comm
