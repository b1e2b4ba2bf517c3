// A libnccl for tests: ranks are processes of one machine (or threads), data goes through shared files, device memory is the host's. It refuses what NCCL
// refuses, read off its sources (2.28, src/{init,group,enqueue}.cc, misc/argcheck.cc): two ranks on one GPU of one host, communicators used before they
// are ready, groups of blocking and non-blocking ones, calls that differ between ranks, configurations without their magic. And what it does not look
// at but suffers from: buffers that overlap other than in place, memory that no device handed out.
// Loaded by comm/nccl_* of programs that run over tests/support/fake_cudart. Collectives are done when the call returns.
#include "support/fake_nccl_ranks.hpp"

#include "base/dtype.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

namespace {

using namespace zerosim::fake;
constexpr unsigned kMagic = 0xcafebeef;                    // NCCL_CONFIG_INITIALIZER

std::size_t size_of(ncclDataType_t type) {
    switch (type) {
        case ncclInt8: case ncclUint8: return 1;
        case ncclFloat16: case ncclBfloat16: return 2;
        case ncclInt64: case ncclUint64: case ncclFloat64: return 8;
        default: return 4;
    }
}
double element(const char* at, ncclDataType_t type) {
    const auto as = [at](auto value) { std::memcpy(&value, at, sizeof value); return value; };
    switch (type) {
        case ncclFloat16: return zerosim::fp16_to_float(as(std::uint16_t{}));
        case ncclBfloat16: return zerosim::bf16_to_float(as(std::uint16_t{}));
        case ncclFloat64: return as(double{});
        case ncclInt32: return as(std::int32_t{});
        default: return as(float{});
    }
}
void put_element(char* at, ncclDataType_t type, double sum) {
    const auto put = [at](auto value) { std::memcpy(at, &value, sizeof value); };
    switch (type) {
        case ncclFloat16: return put(zerosim::float_to_fp16(static_cast<float>(sum)));
        case ncclBfloat16: return put(zerosim::float_to_bf16(static_cast<float>(sum)));
        case ncclFloat64: return put(sum);
        case ncclInt32: return put(static_cast<std::int32_t>(sum));
        default: return put(static_cast<float>(sum));
    }
}

struct Transfer {
    ncclComm_t comm = nullptr;
    const char* send = nullptr;
    char* receive = nullptr;
    std::size_t bytes = 0;
    int peer = 0;
};
thread_local int depth = 0;
thread_local std::vector<Transfer> transfers;
thread_local std::vector<std::function<ncclResult_t()>> queued;
thread_local int group_blocking = -1;

struct Buffers {
    const void* send;
    std::size_t sent;
    void* receive;
    std::size_t received;
    std::ptrdiff_t in_place;                               // where the send buffer lies in the receive buffer then
};

ncclResult_t check_buffers(const Buffers& b) {
    const auto *const s = static_cast<const char*>(b.send), *const r = static_cast<const char*>(b.receive);
    if (s == nullptr || r == nullptr) return refused(ncclInvalidArgument, "a null pointer");
    if (!is_device_memory(s, b.sent) || !is_device_memory(r, b.received)) return refused(ncclInvalidArgument, "memory that no device handed out");
    const bool overlap = s < r + b.received && r < s + b.sent;
    return overlap && s - r != b.in_place ? refused(ncclInvalidUsage, "buffers overlap, and not as in place") : ncclSuccess;
}

ncclResult_t submit(ncclComm_t comm, std::size_t count, const Buffers& buffers, std::function<ncclResult_t()> work) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess) return status;
    if (count == 0) return ncclSuccess;
    if (const ncclResult_t status = check_buffers(buffers); status != ncclSuccess) return status;
    if (depth == 0) {
        const ncclResult_t status = work();
        if (status != ncclSuccess || comm->blocking != 0) return status;
        comm->state = ncclInProgress, comm->polls = 0;     // launched by a thread of its own
        return ncclInProgress;
    }
    if (group_blocking >= 0 && group_blocking != comm->blocking) return refused(ncclInvalidArgument, "Blocking and nonblocking communicators are not allowed in the same group.");
    group_blocking = comm->blocking;
    queued.push_back(std::move(work));
    return ncclSuccess;
}

std::string call_name(const char* what, std::size_t count, ncclDataType_t type, int extra) {
    return std::string(what) + " " + std::to_string(count) + " " + std::to_string(type) + " " + std::to_string(extra);
}

double reduced(const ncclComm& comm, std::size_t at, ncclDataType_t type, ncclRedOp_t op) {
    double sum = 0;
    for (int r = 0; r < comm.ranks; ++r) sum += element(shown(comm, r) + at, type);
    return op == ncclAvg ? sum / comm.ranks : sum;
}

/// Sends and receives of a group: every rank shows whom it sends to, then a block for each peer. All of one size, and at most one between two ranks.
ncclResult_t run_transfers() {
    if (transfers.empty()) return ncclSuccess;
    ncclComm& comm = *transfers.front().comm;
    const std::size_t ranks = static_cast<std::size_t>(comm.ranks), bytes = transfers.front().bytes;
    std::vector<char*> receives(ranks);
    std::string all(ranks + ranks * bytes, '\0');
    for (const Transfer& t : std::exchange(transfers, {})) {
        const auto peer = static_cast<std::size_t>(t.peer);
        if (t.comm != &comm || t.bytes != bytes || peer >= ranks || (t.send != nullptr ? all[peer] != 0 : receives[peer] != nullptr))
            return refused(ncclInternalError, "these tests know one transfer between two ranks, all of one size");
        if (t.send == nullptr) {
            receives[peer] = t.receive;
            continue;
        }
        all[peer] = 1;
        std::memcpy(all.data() + ranks + peer * bytes, t.send, bytes);
    }
    bool matched = true;
    const std::size_t begin = ranks + bytes * static_cast<std::size_t>(comm.rank);
    const ncclResult_t status = exchange(comm, all.data(), all.size(), call_name("transfers", bytes, ncclInt8, 0), [&](std::size_t at, std::size_t piece) {
        for (std::size_t r = 0; r < ranks; ++r) {
            if (at == 0) matched = matched && (shown(comm, static_cast<int>(r))[comm.rank] != 0) == (receives[r] != nullptr);
            for (std::size_t i = std::max(at, begin); receives[r] != nullptr && i < std::min(at + piece, begin + bytes); ++i)
                receives[r][i - begin] = shown(comm, static_cast<int>(r))[i - at];
        }
    });
    return status != ncclSuccess || matched ? status : refused(ncclInternalError, "a send that nobody receives, or the other way round: NCCL would hang");
}

ncclResult_t check_config(const ncclConfig_t* config) {
    if (config != nullptr && config->magic != kMagic) return refused(ncclInvalidArgument, "ncclConfig_t argument not initialized via NCCL_CONFIG_INITIALIZER");
    return ncclSuccess;
}
int blocking_of(const ncclConfig_t* config) { return config == nullptr || config->blocking == NCCL_CONFIG_UNDEF_INT ? 1 : config->blocking; }

}  // namespace

extern "C" {

const char* ncclGetErrorString(ncclResult_t status) { return status == ncclInvalidUsage ? "invalid usage" : status == ncclInvalidArgument ? "invalid argument" : "refused"; }
const char* ncclGetLastError(ncclComm_t) { return last_error().c_str(); }
ncclResult_t ncclGetVersion(int* version) { return *version = NCCL_VERSION_CODE, ncclSuccess; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
    std::memset(id, 0, sizeof *id);
    const std::string name = "zerosim-fake-nccl-" + std::to_string(::getpid()) + "-" + std::to_string(std::chrono::steady_clock::now().time_since_epoch().count());
    std::memcpy(id->internal, name.c_str(), name.size());
    // As bootstrap.cc's root, which waits for the ranks in the library's code whatever becomes of who asked.
    std::thread([] { for (int i = 0; i < 20; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5)); }).detach();
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
    if (const ncclResult_t status = check_config(config); status != ncclSuccess) return status;
    if (ranks < 1 || ranks > kMostRanks || rank < 0 || rank >= ranks) return refused(ncclInvalidArgument, "a rank beyond the ranks");
    *comm = new ncclComm;
    (*comm)->name = id.internal;
    (*comm)->rank = rank, (*comm)->ranks = ranks, (*comm)->blocking = blocking_of(config);
    (*comm)->shared = open_shared((*comm)->name);
    attach(**comm);
    if ((*comm)->blocking == 0) return ncclInProgress;
    while ((*comm)->state == ncclInProgress) poll(**comm);
    return (*comm)->state;
}

ncclResult_t ncclCommSplit(ncclComm_t comm, int colour, int key, ncclComm_t* part, ncclConfig_t* config) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess) return status;
    if (const ncclResult_t status = check_config(config); status != ncclSuccess) return status;
    *part = nullptr;
    comm->split = std::make_unique<Pending>();
    comm->split->target = part, comm->split->colour = colour, comm->split->key = key, comm->split->blocking = blocking_of(config);
    comm->split->name = comm->name + ".s" + std::to_string(comm->splits++);
    comm->split->meeting = open_shared(comm->split->name);
    Member& mine = comm->split->meeting->members[static_cast<std::size_t>(comm->rank)];
    mine.colour = colour, mine.key = key;
    comm->split->meeting->attached.fetch_add(1);
    comm->state = ncclInProgress;
    if (comm->blocking == 0) return ncclInProgress;
    while (comm->state == ncclInProgress) poll(*comm);
    return comm->state;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
    if (comm == nullptr || comm->shared == nullptr) return refused(ncclInvalidArgument, "a communicator that is none");
    if (comm->state == ncclInProgress) poll(*comm);
    return *state = comm->state, ncclSuccess;
}
ncclResult_t ncclCommCount(const ncclComm_t comm, int* count) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess) return status;
    return *count = comm->ranks, ncclSuccess;
}
ncclResult_t ncclCommUserRank(const ncclComm_t comm, int* rank) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess) return status;
    return *rank = comm->rank, ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess) return status;
    comm->finalized = true;
    if (comm->blocking != 0) return ncclSuccess;
    comm->state = ncclInProgress, comm->polls = 0;
    return ncclInProgress;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    if (comm == nullptr || comm->shared == nullptr) return refused(ncclInvalidArgument, "comm has already been destroyed");
    if (comm->state == ncclInProgress) return refused(ncclInvalidArgument, "Attempt to use communicator before the previous operation returned ncclSuccess");
    ::munmap(comm->shared, sizeof(Shared));
    comm->shared = nullptr;                                // never freed: a second use is seen
    return comm->blocking != 0 ? ncclSuccess : ncclInProgress;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
    if (comm == nullptr || comm->shared == nullptr) return refused(ncclInvalidArgument, "comm has already been destroyed");
    comm->shared->aborted.store(1);
    unlink_shared(comm->name);
    comm->shared = nullptr;                                // the mapping stays: a thread may be in it
    return ncclSuccess;
}

ncclResult_t ncclMemAlloc(void** data, std::size_t bytes) {
    auto* const allocate = reinterpret_cast<int (*)(void**, std::size_t)>(symbol_of_program("cudaMalloc"));
    return allocate != nullptr && allocate(data, bytes) == 0 ? ncclSuccess : refused(ncclUnhandledCudaError, "no memory");
}
ncclResult_t ncclMemFree(void* data) {
    auto* const release = reinterpret_cast<int (*)(void*)>(symbol_of_program("cudaFree"));
    return release != nullptr && release(data) == 0 ? ncclSuccess : refused(ncclUnhandledCudaError, "no such memory");
}
ncclResult_t ncclCommRegister(const ncclComm_t comm, void* data, std::size_t bytes, void** handle) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess) return status;
    if (!is_device_memory(data, bytes)) return refused(ncclInvalidArgument, "memory that no device handed out");
    comm->registered.push_back(data);
    return *handle = data, ncclSuccess;
}
ncclResult_t ncclCommDeregister(const ncclComm_t comm, void* handle) {
    if (comm == nullptr || comm->shared == nullptr) return refused(ncclInvalidArgument, "a communicator that is none");
    return std::erase(comm->registered, handle) == 1 ? ncclSuccess : refused(ncclInvalidUsage, "Deregister: Could not find handle");
}

ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess) return status;
    const std::size_t bytes = count * size_of(type);
    const Buffers buffers{send, bytes, receive, bytes * static_cast<std::size_t>(comm->ranks), static_cast<std::ptrdiff_t>(bytes) * comm->rank};
    return submit(comm, count, buffers, [=] {
        return exchange(*comm, static_cast<const char*>(send), bytes, call_name("all-gather", count, type, 0), [=](std::size_t at, std::size_t piece) {
            for (int r = 0; r < comm->ranks; ++r) std::memcpy(static_cast<char*>(receive) + bytes * static_cast<std::size_t>(r) + at, shown(*comm, r), piece);
        });
    });
}
ncclResult_t ncclReduceScatter(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm, cudaStream_t) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess) return status;
    const std::size_t size = size_of(type), bytes = count * size, begin = bytes * static_cast<std::size_t>(comm->rank), all = bytes * static_cast<std::size_t>(comm->ranks);
    return submit(comm, count, {send, all, receive, bytes, -static_cast<std::ptrdiff_t>(begin)}, [=] {
        return exchange(*comm, static_cast<const char*>(send), all, call_name("reduce-scatter", count, type, op), [=](std::size_t at, std::size_t piece) {
            for (std::size_t i = std::max(at, begin); i < std::min(at + piece, begin + bytes); i += size)
                put_element(static_cast<char*>(receive) + i - begin, type, reduced(*comm, i - at, type, op));
        });
    });
}
ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm, cudaStream_t) {
    const std::size_t size = size_of(type), bytes = count * size;
    return submit(comm, count, {send, bytes, receive, bytes, 0}, [=] {
        return exchange(*comm, static_cast<const char*>(send), bytes, call_name("all-reduce", count, type, op), [=](std::size_t at, std::size_t piece) {
            for (std::size_t i = 0; i < piece; i += size) put_element(static_cast<char*>(receive) + at + i, type, reduced(*comm, i, type, op));
        });
    });
}
ncclResult_t ncclReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess) return status;
    const std::size_t size = size_of(type), bytes = count * size;
    const bool at_root = comm->rank == root;
    return submit(comm, count, {send, bytes, at_root ? receive : const_cast<void*>(send), bytes, 0}, [=] { // others need no buffer to receive
        return exchange(*comm, static_cast<const char*>(send), bytes, call_name("reduce", count, type, op * 64 + root), [=](std::size_t at, std::size_t piece) {
            for (std::size_t i = 0; at_root && i < piece; i += size) put_element(static_cast<char*>(receive) + at + i, type, reduced(*comm, i, type, op));
        });
    });
}
ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type, int root, ncclComm_t comm, cudaStream_t) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess) return status;
    const std::size_t bytes = count * size_of(type);
    const void* const from = comm->rank == root ? send : receive;   // others need none
    void* const to = receive;
    return submit(comm, count, {from, bytes, to, bytes, 0}, [=] {
        return exchange(*comm, comm->rank == root ? static_cast<const char*>(from) : nullptr, bytes, call_name("broadcast", count, type, root),
                        [=](std::size_t at, std::size_t piece) { std::memcpy(static_cast<char*>(to) + at, shown(*comm, root), piece); });
    });
}
ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess || count == 0) return status;
    if (depth == 0) return refused(ncclInternalError, "these tests know sends in groups alone");
    transfers.push_back({comm, static_cast<const char*>(data), nullptr, count * size_of(type), peer});
    return ncclSuccess;
}
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t) {
    if (const ncclResult_t status = ready(comm); status != ncclSuccess || count == 0) return status;
    if (depth == 0) return refused(ncclInternalError, "these tests know receives in groups alone");
    transfers.push_back({comm, nullptr, static_cast<char*>(data), count * size_of(type), peer});
    return ncclSuccess;
}
ncclResult_t ncclGroupStart() { return ++depth, ncclSuccess; }
ncclResult_t ncclGroupEnd() {
    if (depth == 0) return refused(ncclInvalidUsage, "ncclGroupEnd: not in a group call.");
    if (--depth > 0) return ncclSuccess;
    group_blocking = -1;
    for (const auto& work : std::exchange(queued, {}))
        if (const ncclResult_t status = work(); status != ncclSuccess) return status;
    return run_transfers();
}

}  // extern "C"
