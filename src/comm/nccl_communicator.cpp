#include "comm/nccl_communicator.hpp"

#include "base/error.hpp"
#include "comm/nccl_library.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstring>
#include <exception>
#include <thread>

namespace zerosim::comm {
namespace {

ncclDataType_t type_of(DType type) {
    switch (type) {
        case DType::fp32: return ncclFloat32;
        case DType::bf16: return ncclBfloat16;
        case DType::fp16: return ncclFloat16;
        case DType::fp64: return ncclFloat64;
        case DType::int32: return ncclInt32;
        case DType::int64: return ncclInt64;
        case DType::uint8: return ncclUint8;
    }
    throw BugError("NCCL has no such type");
}

ncclRedOp_t operation_of(Reduction reduction) {
    switch (reduction) {
        case Reduction::sum: return ncclSum;
        case Reduction::average: return ncclAvg;
        default: throw BugError("NCCL has no such reduction");
    }
}

ncclConfig_t without_blocking() {
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    return config;
}

/// A broadcast's root may have none; NCCL's kernel writes there unless it is the buffer that is sent.
void* received_at(const CollectiveCall& call, int rank) { return rank == call.root && call.receive == nullptr ? const_cast<void*>(call.send) : call.receive; }

bool is_transfers(CollectiveKind kind) {
    return kind == CollectiveKind::all_to_all || kind == CollectiveKind::gather || kind == CollectiveKind::scatter || kind == CollectiveKind::send_recv;
}

/// Kinds that are sends and receives, as nccl-tests has them (alltoall.cu, gather.cu, scatter.cu, sendrecv.cu): between begin and end of a group.
void transfers(const NcclLibrary& nccl, const CollectiveCall& call, int rank, int size, ncclComm_t communicator, cudaStream_t stream) {
    const auto bytes = static_cast<std::size_t>(call.count * size_of(call.dtype));
    const auto send = [&](int peer, int part) {
        const auto* const from = static_cast<const std::byte*>(call.send) + bytes * static_cast<std::size_t>(part);
        nccl.check(nccl.send(from, bytes, ncclInt8, peer, communicator, stream), "ncclSend", communicator);
    };
    const auto receive = [&](int peer, int part) {
        auto* const to = static_cast<std::byte*>(call.receive) + bytes * static_cast<std::size_t>(part);
        nccl.check(nccl.recv(to, bytes, ncclInt8, peer, communicator, stream), "ncclRecv", communicator);
    };
    const bool root = rank == call.root;
    switch (call.kind) {
        case CollectiveKind::gather:
            send(call.root, 0);
            for (int peer = 0; root && peer < size; ++peer) receive(peer, peer);
            return;
        case CollectiveKind::scatter:
            receive(call.root, 0);
            for (int peer = 0; root && peer < size; ++peer) send(peer, peer);
            return;
        case CollectiveKind::send_recv: return send((rank + 1) % size, 0), receive((rank + size - 1) % size, 0);
        default:
            for (int peer = 0; peer < size; ++peer) send(peer, peer), receive(peer, peer);
    }
}

/// One call of NCCL's. Not for `is_transfers`.
ncclResult_t one_call(const NcclLibrary& nccl, const CollectiveCall& call, int rank, ncclComm_t communicator, cudaStream_t stream) {
    const auto count = static_cast<std::size_t>(call.count);
    const ncclDataType_t type = type_of(call.dtype);
    switch (call.kind) {
        case CollectiveKind::all_gather: return nccl.all_gather(call.send, call.receive, count, type, communicator, stream);
        case CollectiveKind::reduce_scatter: return nccl.reduce_scatter(call.send, call.receive, count, type, operation_of(call.reduction), communicator, stream);
        case CollectiveKind::all_reduce: return nccl.all_reduce(call.send, call.receive, count, type, operation_of(call.reduction), communicator, stream);
        case CollectiveKind::reduce: return nccl.reduce(call.send, call.receive, count, type, operation_of(call.reduction), call.root, communicator, stream);
        case CollectiveKind::broadcast: return nccl.broadcast(call.send, received_at(call, rank), count, type, call.root, communicator, stream);
        default: throw BugError("NCCL has no such collective");
    }
}

}  // namespace

NcclId make_nccl_id() {
    const NcclLibrary nccl;
    ncclUniqueId id;
    nccl.check(nccl.get_unique_id(&id), "ncclGetUniqueId");
    NcclId result;
    std::memcpy(result.data(), id.internal, result.size());
    return result;
}

std::shared_ptr<std::byte> nccl_memory(std::int64_t bytes) {
    const auto nccl = std::make_shared<NcclLibrary>();
    if (nccl->mem_alloc == nullptr || nccl->comm_register == nullptr) throw EnvironmentError("register-buffers: NCCL has it since 2.19, and this one is " + nccl_version());
    void* data = nullptr;
    nccl->check(nccl->mem_alloc(&data, static_cast<std::size_t>(bytes)), "ncclMemAlloc");
    return {static_cast<std::byte*>(data), [nccl](std::byte* memory) { static_cast<void>(nccl->mem_free(memory)); }};
}

std::string nccl_version() {
    const NcclLibrary nccl;
    int version = 0;
    nccl.check(nccl.get_version(&version), "ncclGetVersion");
    return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
}

NcclCommunicator::NcclCommunicator(const NcclId& id, int rank, int size, double timeout_seconds)
    : library_(std::make_shared<NcclLibrary>()), rank_(rank), size_(size), timeout_seconds_(timeout_seconds) {
    ncclUniqueId native;
    std::memcpy(native.internal, id.data(), id.size());
    ncclConfig_t config = without_blocking();
    library_->check(library_->comm_init_rank_config(&communicator_, size, native, rank, &config), "ncclCommInitRankConfig");
    try {
        wait_until_ready("setting up NCCL");
    } catch (const Error&) {
        abandon();                                       // its thread waits for the others, and would do so beyond the end of main
        throw;
    }
}

NcclCommunicator::NcclCommunicator(std::shared_ptr<NcclLibrary> library, ncclComm_t communicator, double timeout_seconds)
    : library_(std::move(library)), communicator_(communicator), timeout_seconds_(timeout_seconds) {
    library_->check(library_->comm_user_rank(communicator_, &rank_), "ncclCommUserRank", communicator_);
    library_->check(library_->comm_count(communicator_, &size_), "ncclCommCount", communicator_);
}

/// After a failure the peers may be gone, and finalizing would wait for them.
NcclCommunicator::~NcclCommunicator() {
    if (communicator_ == nullptr) return;
    if (std::uncaught_exceptions() > 0) {
        abandon();
        return;
    }
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_seconds_);
    ncclResult_t state = library_->comm_finalize(communicator_);
    while (state == ncclInProgress && std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (library_->comm_get_async_error(communicator_, &state) != ncclSuccess) break;
    }
    if (state == ncclInProgress) {
        abandon();
        return;
    }
    static_cast<void>(library_->comm_destroy(communicator_));
}

void NcclCommunicator::wait_until_ready(const char* what) const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_seconds_);
    ncclResult_t state = ncclInProgress;
    while (true) {
        library_->check(library_->comm_get_async_error(communicator_, &state), "ncclCommGetAsyncError", communicator_);
        if (state == ncclSuccess) return;
        library_->check(state, what, communicator_);
        if (std::chrono::steady_clock::now() > end)
            throw EnvironmentError(fmt::format("{}: rank {} of {} waited {:.0f} s for the others (timeout-seconds); a rank is missing or cannot be reached", what, rank_, size_, timeout_seconds_));
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
}

std::unique_ptr<NcclCommunicator> NcclCommunicator::split(int colour, int key) const {
    // NCCL's thread writes it when the split is done (init.cc, ncclCommInitRankFunc), which after a timeout may be later than this function lives: kept then.
    auto place = std::make_unique<ncclComm_t>(nullptr);
    ncclComm_t& part = *place;
    // The world was set up without blocking, so a missing rank has shown by now. Its parts block: NCCL starts a thread for every collective of a
    // communicator that does not (group.cc, groupLaunchNonBlocking), which costs more than the launch.
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 1;
    library_->check(library_->comm_split(communicator_, colour, key, &part, &config), "ncclCommSplit", communicator_);
    try {
        wait_until_ready("splitting NCCL's communicator");
    } catch (const Error&) {
        static_cast<void>(place.release());
        throw;
    }
    ncclResult_t state = ncclInProgress;
    while (library_->comm_get_async_error(part, &state) == ncclSuccess && state == ncclInProgress) std::this_thread::sleep_for(std::chrono::microseconds(200));
    library_->check(state, "ncclCommSplit", part);
    return std::unique_ptr<NcclCommunicator>(new NcclCommunicator(library_, part, timeout_seconds_));
}

void NcclCommunicator::enqueue(const CollectiveCall& call, void* native) {
    check_call(call, rank_, size_);
    const auto stream = static_cast<cudaStream_t>(native);
    if (is_transfers(call.kind)) {
        begin_group();
        try {
            transfers(*library_, call, rank_, size_, communicator_, stream);
        } catch (const Error&) {
            static_cast<void>(library_->group_end());   // an open group would keep back every call after it, aborts too
            throw;
        }
        return end_group();
    }
    const ncclResult_t status = one_call(*library_, call, rank_, communicator_, stream);
    library_->check(status, "a collective", communicator_);
    if (status == ncclInProgress) wait_until_ready("starting a collective");
}

std::function<void()> NcclCommunicator::raw_call(const CollectiveCall& call, void* native) const {
    const auto stream = static_cast<cudaStream_t>(native);
    const auto raw = [nccl = library_, communicator = communicator_](auto start) {
        return [nccl, communicator, start] { nccl->check(start(*nccl, communicator), "NCCL's own call", communicator); };
    };
    if (is_transfers(call.kind))
        return raw([=, rank = rank_, size = size_](const NcclLibrary& n, ncclComm_t c) {
            n.check(n.group_start(), "ncclGroupStart", c);
            transfers(n, call, rank, size, c, stream);
            return n.group_end();
        });
    return raw([=, rank = rank_](const NcclLibrary& n, ncclComm_t c) { return one_call(n, call, rank, c, stream); });
}

void NcclCommunicator::begin_group() { library_->check(library_->group_start(), "ncclGroupStart", communicator_); }
void NcclCommunicator::end_group() {
    const ncclResult_t status = library_->group_end();
    library_->check(status, "ncclGroupEnd", communicator_);
    if (status == ncclInProgress) wait_until_ready("starting a group of collectives");
}

std::shared_ptr<void> NcclCommunicator::register_memory(void* data, std::int64_t bytes) {
    void* handle = nullptr;
    library_->check(library_->comm_register(communicator_, data, static_cast<std::size_t>(bytes), &handle), "ncclCommRegister", communicator_);
    return {handle, [this](void* registered) {           // an aborted communicator has let go of it already
                if (communicator_ != nullptr) static_cast<void>(library_->comm_deregister(communicator_, registered));
            }};
}

void NcclCommunicator::check_errors() {
    ncclResult_t state = ncclSuccess;
    library_->check(library_->comm_get_async_error(communicator_, &state), "ncclCommGetAsyncError", communicator_);
    library_->check(state, "a collective in flight", communicator_);
}

void NcclCommunicator::abandon() noexcept {
    if (communicator_ != nullptr) static_cast<void>(library_->comm_abort(communicator_));
    communicator_ = nullptr;
}

}  // namespace zerosim::comm
