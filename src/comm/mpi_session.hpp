// MpiSession: MPI from initialisation to finalisation, as an object that main owns.
// Made by cli/ when launched_by_mpi() says so, and by the MPI tests and benchmarks.
// Does not communicate; on a failure it never finalizes, for others may wait for this rank for ever.
#pragma once

#include "comm/launcher.hpp"

namespace zerosim::comm {

class MpiSession {
public:
    /// MPI_Init_thread with MPI_THREAD_SERIALIZED: one thread at a time calls MPI, not always the same.
    /// Throws EnvironmentError when MPI cannot do that.
    MpiSession();
    /// Finalizes, unless abandoned or unwinding from an exception.
    ~MpiSession();
    MpiSession(const MpiSession&) = delete;
    MpiSession& operator=(const MpiSession&) = delete;

    [[nodiscard]] int rank() const { return rank_; }
    [[nodiscard]] int size() const { return size_; }
    /// This rank fails and will not finalize; the caller prints and then calls abort().
    void abandon() noexcept { abandoned_ = true; }
    /// Ends every rank; mpirun exits with `code`.
    [[noreturn]] void abort(int code) const noexcept;

private:
    int rank_ = 0, size_ = 1;
    int exceptions_;
    bool abandoned_ = false;
};

} // namespace zerosim::comm
