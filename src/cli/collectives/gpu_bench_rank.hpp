// A benchmark's rank on a GPU: the device it takes, with one stream, and NCCL's communicator of all ranks.
// Made by `collectives` and `calibrate` with --device cuda, one a process.
// Measures nothing.
#pragma once

#include "base/transport.hpp"
#include "cli/run/gpu_transport.hpp"
#include "cli/collectives/rank_team.hpp"
#include "comm/gpu_world.hpp"
#include "device/gpu.hpp"

#include <optional>

namespace zerosim::cli {

class GpuBenchRank {
public:
    /// Throws EnvironmentError where there is no GPU, or ranks would share one and `share` is not set. Collective when it `communicates`.
    GpuBenchRank(TeamRank& rank, bool share, bool communicates, double timeout_seconds, Transport transport = Transport::automatic);
    [[nodiscard]] device::StreamDevice& device() { return *device_; }
    [[nodiscard]] comm::StreamCommunicator& communicator() { return *communicator_; }
    [[nodiscard]] int ordinal() const { return ordinal_; }
    /// Ranks are on one GPU.
    [[nodiscard]] bool sharing() const { return transport_ && transport_->sharing(); }
    /// What NCCL has connected on this rank.
    [[nodiscard]] std::vector<comm::PathUse> paths() const { return transport_ ? transport_->paths() : std::vector<comm::PathUse>{}; }

private:
    int ordinal_ = 0;
    std::unique_ptr<device::StreamDevice> device_;
    std::optional<GpuTransport> transport_;
    std::optional<comm::GpuWorld> world_;
    std::unique_ptr<comm::StreamCommunicator> communicator_;
};

/// Ranks with GPUs are processes: ConfigError where they would be threads.
void require_processes(const RankTeam& team);

}  // namespace zerosim::cli
