// exec::execute_on_streams: runs one rank's program for real on a device with streams (CUDA) and stream communicators (NCCL).
// Called by cli/, one call a process. The counterpart of execute_rank, with the same options and the same result.
// Does not print, plan or validate.
#pragma once

#include "comm/stream_communicator.hpp"
#include "device/gpu.hpp"
#include "exec/execute.hpp"

namespace zerosim::exec {

using StreamCommunicators = CommunicatorTable<comm::StreamCommunicator>;

/// What one rank works with. All outlive the call.
struct StreamRankResources {
    device::StreamDevice& device;
    StreamCommunicators& communicators;
    comm::ControlChannel* control = nullptr;             // null: alone
    comm::Progress& progress;
    data::TokenSource& tokens;
};

/// A GPU with the program's streams and pools: planned arenas with `arena`, else stream-ordered allocation.
[[nodiscard]] device::GpuOptions gpu_options(const schedule::Schedule& schedule, const schedule::Program& program, const std::optional<schedule::ArenaPlan>& arena);

/// Throws RunError as execute_rank does: the watchdog's words, a peer's, NCCL's or CUDA's, with step and op.
[[nodiscard]] RankResult execute_on_streams(const schedule::Schedule& schedule, std::int64_t rank, StreamRankResources resources, const ExecuteOptions& options);

}  // namespace zerosim::exec
