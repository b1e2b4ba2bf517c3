// exec::execute_on_streams: runs one rank's program for real on a device with streams (CUDA) and stream communicators (NCCL).
// Called by cli/, one call a process. The counterpart of execute_rank, with the same options and the same result.
// Does not print, plan or validate.
#pragma once

#include "comm/stream_communicator.hpp"
#include "device/stream_device.hpp"
#include "exec/execute.hpp"

#include <memory>
#include <vector>

namespace zerosim::exec {

/// One communicator a (stream, axis), as RankCommunicators.
class StreamCommunicators {
public:
    StreamCommunicators(std::size_t streams, std::size_t axes) : axes_(axes), communicators_(streams * axes) {}
    void set(StreamId stream, AxisId axis, std::unique_ptr<comm::StreamCommunicator> communicator) { at(stream, axis) = std::move(communicator); }
    [[nodiscard]] comm::StreamCommunicator* get(StreamId stream, AxisId axis) { return at(stream, axis).get(); }
    void check_errors() {
        for (const auto& communicator : communicators_)
            if (communicator) communicator->check_errors();
    }
    void abandon() noexcept {
        for (const auto& communicator : communicators_)
            if (communicator) communicator->abandon();
    }

private:
    std::unique_ptr<comm::StreamCommunicator>& at(StreamId stream, AxisId axis) { return communicators_[stream.index() * axes_ + axis.index()]; }
    std::size_t axes_;
    std::vector<std::unique_ptr<comm::StreamCommunicator>> communicators_;
};

/// What one rank works with. All outlive the call.
struct StreamRankResources {
    device::StreamDevice& device;
    StreamCommunicators& communicators;
    comm::ControlChannel* control = nullptr;             // null: alone
    comm::Progress& progress;
    data::TokenSource& tokens;
};

/// Throws RunError as execute_rank does: the watchdog's words, a peer's, NCCL's or CUDA's, with step and op.
[[nodiscard]] RankResult execute_on_streams(const schedule::Schedule& schedule, std::int64_t rank, StreamRankResources resources, const ExecuteOptions& options);

}  // namespace zerosim::exec
