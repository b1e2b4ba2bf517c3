// The MPI library this build runs with, by its own words.
// Called by `doctor` in builds with MPI.
// Does not initialise MPI.
#pragma once

#include <string>

namespace zerosim::cli {

/// The first line of MPI_Get_library_version, which may be called before MPI_Init (MPI 3.1, section 8.1.1).
[[nodiscard]] std::string mpi_library();

} // namespace zerosim::cli
