// NCCL's functions, loaded when the first communicator needs them.
// Shared by the communicators of a process.
// Calls nothing but to put an error into words.
#pragma once

#include "base/dynamic_library.hpp"

#include <fmt/core.h>
#include <nccl.h>

namespace zerosim::comm {

struct NcclLibrary {
    DynamicLibrary library{ZEROSIM_NCCL_LIBRARY_DIR, fmt::format("libnccl.so.{}", NCCL_MAJOR)};
    decltype(::ncclAllGather)* all_gather = nullptr;
    decltype(::ncclAllReduce)* all_reduce = nullptr;
    decltype(::ncclBroadcast)* broadcast = nullptr;
    decltype(::ncclCommAbort)* comm_abort = nullptr;
    decltype(::ncclCommCount)* comm_count = nullptr;
    decltype(::ncclCommDestroy)* comm_destroy = nullptr;
    decltype(::ncclCommFinalize)* comm_finalize = nullptr;
    decltype(::ncclCommGetAsyncError)* comm_get_async_error = nullptr;
    decltype(::ncclCommInitRankConfig)* comm_init_rank_config = nullptr;
    decltype(::ncclCommSplit)* comm_split = nullptr;
    decltype(::ncclMemAlloc)* mem_alloc = nullptr;                 // these four since 2.19; null before
    decltype(::ncclMemFree)* mem_free = nullptr;
    decltype(::ncclCommRegister)* comm_register = nullptr;
    decltype(::ncclCommDeregister)* comm_deregister = nullptr;
    decltype(::ncclCommUserRank)* comm_user_rank = nullptr;
    decltype(::ncclGetErrorString)* get_error_string = nullptr;
    decltype(::ncclGetLastError)* get_last_error = nullptr;
    decltype(::ncclGetUniqueId)* get_unique_id = nullptr;
    decltype(::ncclGetVersion)* get_version = nullptr;
    decltype(::ncclGroupEnd)* group_end = nullptr;
    decltype(::ncclGroupStart)* group_start = nullptr;
    decltype(::ncclRecv)* recv = nullptr;
    decltype(::ncclReduce)* reduce = nullptr;
    decltype(::ncclReduceScatter)* reduce_scatter = nullptr;
    decltype(::ncclSend)* send = nullptr;

    NcclLibrary() {
        library.find("ncclAllGather", all_gather);
        library.find("ncclAllReduce", all_reduce);
        library.find("ncclBroadcast", broadcast);
        library.find("ncclCommAbort", comm_abort);
        library.find("ncclCommCount", comm_count);
        library.find("ncclCommDestroy", comm_destroy);
        library.find("ncclCommFinalize", comm_finalize);
        library.find("ncclCommGetAsyncError", comm_get_async_error);
        library.find("ncclCommInitRankConfig", comm_init_rank_config);
        library.find("ncclCommSplit", comm_split);
        library.find_optional("ncclMemAlloc", mem_alloc);
        library.find_optional("ncclMemFree", mem_free);
        library.find_optional("ncclCommRegister", comm_register);
        library.find_optional("ncclCommDeregister", comm_deregister);
        library.find("ncclCommUserRank", comm_user_rank);
        library.find("ncclGetErrorString", get_error_string);
        library.find("ncclGetLastError", get_last_error);
        library.find("ncclGetUniqueId", get_unique_id);
        library.find("ncclGetVersion", get_version);
        library.find("ncclGroupEnd", group_end);
        library.find("ncclGroupStart", group_start);
        library.find("ncclRecv", recv);
        library.find("ncclReduce", reduce);
        library.find("ncclReduceScatter", reduce_scatter);
        library.find("ncclSend", send);
    }
    /// Non-blocking communicators answer ncclInProgress while they work in the background.
    void check(ncclResult_t status, const char* what, ncclComm_t communicator = nullptr) const {
        if (status == ncclSuccess || status == ncclInProgress) return;
        const std::string text = fmt::format("{}: {}: {}", what, get_error_string(status), get_last_error(communicator));
        if (status == ncclInvalidArgument || status == ncclInvalidUsage || status == ncclInternalError) throw BugError(text);
        throw EnvironmentError(text + " (NCCL_DEBUG=WARN says more)");
    }
};

}  // namespace zerosim::comm
