#include "comm/mpi_handle.hpp"

#include "base/error.hpp"

#include <fmt/format.h>

#include <array>
#include <string_view>

namespace zerosim::comm {

void check_mpi(int code, const char* function) {
    if (code == MPI_SUCCESS) [[likely]]
        return;
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) length = 0;
    throw EnvironmentError(
        fmt::format("{} failed: {}", function, std::string_view(text.data(), static_cast<std::size_t>(length))));
}

MpiComm::MpiComm(MPI_Comm handle) : handle_(handle) {
    check_mpi(MPI_Comm_set_errhandler(handle_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
}

MpiComm MpiComm::duplicate(MPI_Comm parent) {
    MPI_Comm handle = MPI_COMM_NULL;
    check_mpi(MPI_Comm_dup(parent, &handle), "MPI_Comm_dup");
    return MpiComm(handle);
}

MpiComm MpiComm::split(MPI_Comm parent, int color, int key) {
    MPI_Comm handle = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split(parent, color, key, &handle), "MPI_Comm_split");
    return MpiComm(handle);
}

MpiComm::~MpiComm() {
    if (handle_ == MPI_COMM_NULL) return;
    int finalized = 0;
    if (MPI_Finalized(&finalized) == MPI_SUCCESS && !finalized) (void)MPI_Comm_free(&handle_);
}

int MpiComm::rank() const {
    int rank = 0;
    check_mpi(MPI_Comm_rank(handle_, &rank), "MPI_Comm_rank");
    return rank;
}

int MpiComm::size() const {
    int size = 0;
    check_mpi(MPI_Comm_size(handle_, &size), "MPI_Comm_size");
    return size;
}

} // namespace zerosim::comm
