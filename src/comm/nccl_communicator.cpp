#include "comm/nccl_communicator.hpp"

#include "base/error.hpp"
#include "comm/nccl_library.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstring>
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

void all_to_all(const NcclLibrary& nccl, const CollectiveCall& call, int size, ncclComm_t communicator, cudaStream_t stream) {
    const auto bytes = static_cast<std::size_t>(call.count * size_of(call.dtype));
    for (int peer = 0; peer < size; ++peer) {
        const auto offset = bytes * static_cast<std::size_t>(peer);
        nccl.check(nccl.send(static_cast<const std::byte*>(call.send) + offset, bytes, ncclInt8, peer, communicator, stream), "ncclSend", communicator);
        nccl.check(nccl.recv(static_cast<std::byte*>(call.receive) + offset, bytes, ncclInt8, peer, communicator, stream), "ncclRecv", communicator);
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
    wait_until_ready("setting up NCCL");
}

NcclCommunicator::NcclCommunicator(std::shared_ptr<NcclLibrary> library, ncclComm_t communicator, double timeout_seconds)
    : library_(std::move(library)), communicator_(communicator), timeout_seconds_(timeout_seconds) {
    library_->check(library_->comm_user_rank(communicator_, &rank_), "ncclCommUserRank", communicator_);
    library_->check(library_->comm_count(communicator_, &size_), "ncclCommCount", communicator_);
}

NcclCommunicator::~NcclCommunicator() {
    if (communicator_ == nullptr) return;
    if (library_->comm_finalize(communicator_) == ncclInProgress) {
        ncclResult_t state = ncclInProgress;
        while (library_->comm_get_async_error(communicator_, &state) == ncclSuccess && state == ncclInProgress) std::this_thread::sleep_for(std::chrono::milliseconds(1));
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
    ncclComm_t part = nullptr;
    ncclConfig_t config = without_blocking();
    library_->check(library_->comm_split(communicator_, colour, key, &part, &config), "ncclCommSplit", communicator_);
    wait_until_ready("splitting NCCL's communicator");
    ncclResult_t state = ncclInProgress;
    while (library_->comm_get_async_error(part, &state) == ncclSuccess && state == ncclInProgress) std::this_thread::sleep_for(std::chrono::microseconds(200));
    library_->check(state, "ncclCommSplit", part);
    return std::unique_ptr<NcclCommunicator>(new NcclCommunicator(library_, part, timeout_seconds_));
}

void NcclCommunicator::enqueue(const CollectiveCall& call, void* native) {
    check_call(call, rank_, size_);
    const auto count = static_cast<std::size_t>(call.count);
    const auto stream = static_cast<cudaStream_t>(native);
    const ncclDataType_t type = type_of(call.dtype);
    ncclResult_t status = ncclSuccess;
    switch (call.kind) {
        case CollectiveKind::all_gather: status = library_->all_gather(call.send, call.receive, count, type, communicator_, stream); break;
        case CollectiveKind::reduce_scatter: status = library_->reduce_scatter(call.send, call.receive, count, type, operation_of(call.reduction), communicator_, stream); break;
        case CollectiveKind::all_reduce: status = library_->all_reduce(call.send, call.receive, count, type, operation_of(call.reduction), communicator_, stream); break;
        case CollectiveKind::broadcast: status = library_->broadcast(call.send, call.receive, count, type, call.root, communicator_, stream); break;
        case CollectiveKind::all_to_all: {
            begin_group();
            all_to_all(*library_, call, size_, communicator_, stream);
            return end_group();
        }
        default: throw BugError("NCCL has no such collective");
    }
    library_->check(status, "a collective", communicator_);
    if (status == ncclInProgress) wait_until_ready("starting a collective");
}

void NcclCommunicator::begin_group() { library_->check(library_->group_start(), "ncclGroupStart", communicator_); }
void NcclCommunicator::end_group() {
    const ncclResult_t status = library_->group_end();
    library_->check(status, "ncclGroupEnd", communicator_);
    if (status == ncclInProgress) wait_until_ready("starting a group of collectives");
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
