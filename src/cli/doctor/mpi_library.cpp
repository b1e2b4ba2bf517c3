#include "cli/doctor/mpi_library.hpp"

#define OMPI_SKIP_MPICXX 1 // the C++ bindings were removed from the standard, and their library is not linked
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

#include <array>

namespace zerosim::cli {

std::string mpi_library() {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
    int length = 0;
    MPI_Get_library_version(text.data(), &length);
    const std::string all(text.data(), static_cast<std::size_t>(length));
    return all.substr(0, all.find_first_of(",\n"));
}

} // namespace zerosim::cli
