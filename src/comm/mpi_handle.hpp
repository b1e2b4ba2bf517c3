// MpiComm: an MPI communicator that frees itself; check_mpi: return codes as errors.
// Used by comm/mpi_* only.
// Does not initialise MPI.
#pragma once

// The C++ bindings were removed from the standard; mpi.h would still declare them.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <utility>

namespace zerosim::comm {

/// Throws EnvironmentError with MPI's own text unless `code` is MPI_SUCCESS.
void check_mpi(int code, const char* function);

/// Errors on it are returned, not fatal. Freed unless MPI has been finalized by then.
class MpiComm {
public:
    MpiComm() = default;
    /// Collective over `parent`.
    [[nodiscard]] static MpiComm duplicate(MPI_Comm parent);
    [[nodiscard]] static MpiComm split(MPI_Comm parent, int color, int key);
    MpiComm(MpiComm&& other) noexcept : handle_(std::exchange(other.handle_, MPI_COMM_NULL)) {}
    MpiComm& operator=(MpiComm&& other) noexcept {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~MpiComm();

    [[nodiscard]] MPI_Comm get() const { return handle_; }
    [[nodiscard]] int rank() const;
    [[nodiscard]] int size() const;

private:
    explicit MpiComm(MPI_Comm handle);
    MPI_Comm handle_ = MPI_COMM_NULL;
};

} // namespace zerosim::comm
