#include "support/fake_nccl_ranks.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

namespace zerosim::fake {
namespace {

std::string variable(const char* name) {
    const char* const value = std::getenv(name);
    return value == nullptr ? "" : value;
}

/// False: the communicator was aborted.
bool meet(ncclComm& comm) {
    Shared& s = *comm.shared;
    const unsigned generation = s.generation.load();
    if (s.arrived.fetch_add(1) + 1 == static_cast<unsigned>(comm.ranks)) {
        s.arrived.store(0);
        s.generation.fetch_add(1);
        return s.aborted.load() == 0;
    }
    while (s.generation.load() == generation) {
        if (s.aborted.load() != 0) return false;
        std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
    return true;
}

/// init.cc, initTransportsRank.
ncclResult_t check_members(const ncclComm& comm) {
    for (int i = 0; i < comm.ranks; ++i)
        for (int j = 0; j < i; ++j) {
            const Member &a = comm.shared->members[static_cast<std::size_t>(i)], &b = comm.shared->members[static_cast<std::size_t>(j)];
            if (std::strcmp(a.host, b.host) == 0 && std::strcmp(a.bus, b.bus) == 0)
                return refused(ncclInvalidUsage, "Duplicate GPU detected : rank " + std::to_string(i) + " and rank " + std::to_string(j) + " both on CUDA device " + a.bus);
        }
    return ncclSuccess;
}

/// As transport/net.cc and p2p.cc write it, for who reads what was connected.
void log_channel(ncclComm& comm) {
    if (std::exchange(comm.logged, true) || comm.ranks < 2 || variable("NCCL_DEBUG") != "INFO") return;
    const int next = (comm.rank + 1) % comm.ranks;
    const Member &mine = comm.shared->members[static_cast<std::size_t>(comm.rank)], &peer = comm.shared->members[static_cast<std::size_t>(next)];
    const bool network = std::strcmp(mine.host, peer.host) != 0;
    std::ofstream file(variable("NCCL_DEBUG_FILE"), std::ios::app);
    file << "host:1:2 [0] NCCL INFO Channel 00/0 : " << comm.rank << "[0] -> " << next << (network ? "[0] [send] via NET/Socket/0\n" : "[1] via P2P/CUMEM\n");
}

}  // namespace

std::string& last_error() {
    thread_local std::string text;
    return text;
}
ncclResult_t refused(ncclResult_t status, const std::string& why) {
    last_error() = why;
    return status;
}

void* symbol_of_program(const char* name) { return ::dlsym(RTLD_DEFAULT, name); }
bool is_device_memory(const void* data, std::size_t bytes) {
    static auto* const owns = reinterpret_cast<bool (*)(const void*, std::size_t)>(symbol_of_program("fake_cudart_owns"));
    return owns == nullptr || owns(data, bytes);
}

Shared* open_shared(const std::string& name) {
    const int file = ::open(("/dev/shm/" + name).c_str(), O_CREAT | O_RDWR, 0600);
    if (file < 0 || ::ftruncate(file, sizeof(Shared)) != 0) return nullptr;
    void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    return memory == MAP_FAILED ? nullptr : static_cast<Shared*>(memory);
}

void unlink_shared(const std::string& name) { ::unlink(("/dev/shm/" + name).c_str()); }

void attach(ncclComm& comm) {
    Member& mine = comm.shared->members[static_cast<std::size_t>(comm.rank)];
    std::string host = variable("NCCL_HOSTID");
    if (host.empty()) host = "one host";
    std::strncpy(mine.host, host.c_str(), sizeof mine.host - 1);
    int device = 0;
    if (auto* const current = reinterpret_cast<int (*)(int*)>(symbol_of_program("cudaGetDevice"))) current(&device);
    if (auto* const address = reinterpret_cast<int (*)(char*, int, int)>(symbol_of_program("cudaDeviceGetPCIBusId"))) address(mine.bus, sizeof mine.bus, device);
    comm.shared->attached.fetch_add(1);
}

void poll(ncclComm& comm) {
    if (comm.state != ncclInProgress) return;
    if (comm.split == nullptr) {
        if (comm.shared->attached.load() < comm.ranks || ++comm.polls < 3) return;
        if (comm.rank == 0) unlink_shared(comm.name);      // all have it open: nothing is left behind, whatever becomes of them
        comm.state = check_members(comm);
        return;
    }
    Pending& split = *comm.split;
    if (split.meeting->attached.load() < comm.ranks) return;
    if (comm.rank == 0) unlink_shared(split.name);
    if (split.child == nullptr) {
        std::vector<std::pair<int, int>> group;            // key, rank of the parent
        for (int r = 0; r < comm.ranks; ++r)
            if (split.meeting->members[static_cast<std::size_t>(r)].colour == split.colour) group.emplace_back(split.meeting->members[static_cast<std::size_t>(r)].key, r);
        std::ranges::sort(group);
        split.child = new ncclComm;
        split.child->name = split.name + ".c" + std::to_string(split.colour);
        split.child->ranks = static_cast<int>(group.size());
        split.child->rank = static_cast<int>(std::ranges::find(group, comm.rank, &std::pair<int, int>::second) - group.begin());
        split.child->blocking = split.blocking;
        split.child->shared = open_shared(split.child->name);
        attach(*split.child);
    }
    if (split.child->shared->attached.load() < split.child->ranks) return;
    if (split.child->rank == 0) unlink_shared(split.child->name);
    split.child->state = check_members(*split.child);
    comm.state = split.child->state;
    if (comm.state == ncclSuccess) *split.target = split.child;
    comm.split.reset();
}

ncclResult_t ready(ncclComm_t comm) {
    if (comm == nullptr || comm->shared == nullptr) return refused(ncclInvalidArgument, "a communicator that is none");
    if (comm->state == ncclInProgress) return refused(ncclInvalidArgument, "Attempt to use communicator before the previous operation returned ncclSuccess");
    return comm->finalized ? refused(ncclInvalidUsage, "a communicator that was finalized") : comm->state;
}

ncclResult_t exchange(ncclComm& comm, const char* mine, std::size_t bytes, const std::string& call, const Consume& consume) {
    log_channel(comm);
    std::strncpy(comm.shared->members[static_cast<std::size_t>(comm.rank)].call, call.c_str(), sizeof(Member::call) - 1);
    for (std::size_t at = 0; at < bytes; at += kPiece) {
        const std::size_t piece = std::min(kPiece, bytes - at);
        if (mine != nullptr) std::memcpy(comm.shared->slots[static_cast<std::size_t>(comm.rank)].data(), mine + at, piece);
        if (!meet(comm)) return refused(ncclInternalError, "aborted");
        for (int r = 0; r < comm.ranks; ++r)
            if (call != comm.shared->members[static_cast<std::size_t>(r)].call) return refused(ncclInvalidUsage, "ranks call " + call + " and " + comm.shared->members[static_cast<std::size_t>(r)].call);
        consume(at, piece);
        if (!meet(comm)) return refused(ncclInternalError, "aborted");
    }
    return ncclSuccess;
}
const char* shown(const ncclComm& comm, int rank) { return comm.shared->slots[static_cast<std::size_t>(rank)].data(); }


}  // namespace zerosim::fake
