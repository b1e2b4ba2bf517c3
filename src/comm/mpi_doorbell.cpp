#include "comm/mpi_doorbell.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

namespace zerosim::comm {
namespace {

bool on_one_node(MPI_Comm world, int ranks) {
    MPI_Comm node = MPI_COMM_NULL;
    check_mpi(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node), "MPI_Comm_split_type");
    int here = 0;
    check_mpi(MPI_Comm_size(node, &here), "MPI_Comm_size");
    check_mpi(MPI_Comm_free(&node), "MPI_Comm_free");
    int fewest = 0;
    check_mpi(MPI_Allreduce(&here, &fewest, 1, MPI_INT, MPI_MIN, world), "MPI_Allreduce");
    return fewest == ranks;
}

/// Null when the system refuses.
std::shared_ptr<void> mapped(const std::string& name, std::size_t bytes, bool creates) {
    const int file = shm_open(name.c_str(), O_RDWR | (creates ? O_CREAT | O_EXCL : 0), 0600);
    if (file < 0) return nullptr;
    const bool sized = !creates || ftruncate(file, static_cast<off_t>(bytes)) == 0;
    void* data = sized ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0) : MAP_FAILED;
    close(file);
    if (data == MAP_FAILED) return nullptr;
    return {data, [bytes](void* memory) { munmap(memory, bytes); }};
}

bool all_have(MPI_Comm world, bool mine) {
    int have = mine ? 1 : 0, all = 0;
    check_mpi(MPI_Allreduce(&have, &all, 1, MPI_INT, MPI_MIN, world), "MPI_Allreduce");
    return all == 1;
}

} // namespace

std::unique_ptr<Doorbell> make_mpi_doorbell(MPI_Comm world) {
    int rank = 0, ranks = 0, first = 0;
    check_mpi(MPI_Comm_rank(world, &rank), "MPI_Comm_rank");
    check_mpi(MPI_Comm_size(world, &ranks), "MPI_Comm_size");
    if (ranks < 2 || !on_one_node(world, ranks)) return nullptr;
    if (rank == 0) first = static_cast<int>(getpid());
    check_mpi(MPI_Bcast(&first, 1, MPI_INT, 0, world), "MPI_Bcast");
    const std::string name = fmt::format("/zerosim-bells-{}", first);
    const std::size_t bytes = static_cast<std::size_t>(ranks) * sizeof(Bell);
    std::shared_ptr<void> memory;
    if (rank == 0) memory = mapped(name, bytes, true);
    const bool there = all_have(world, rank != 0 || memory != nullptr);
    if (there && rank != 0) memory = mapped(name, bytes, false);
    const bool all = there && all_have(world, memory != nullptr);
    if (rank == 0) shm_unlink(name.c_str()); // what is mapped stays
    if (!all) return nullptr;
    auto* bells = static_cast<Bell*>(memory.get()); // fresh pages are 0: every bell as constructed
    return std::make_unique<Doorbell>(std::move(memory), std::span<Bell>(bells, static_cast<std::size_t>(ranks)), static_cast<std::size_t>(rank));
}

} // namespace zerosim::comm
