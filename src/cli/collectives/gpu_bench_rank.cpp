#include "cli/collectives/gpu_bench_rank.hpp"

#include "base/error.hpp"
#include "cli/run/gpu_rank.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::cli {

GpuBenchRank::GpuBenchRank(TeamRank& rank, bool share, bool communicates, double timeout_seconds, Transport transport) {
    std::string reason = "none is visible";
    const int visible = device::count_gpus(&reason);
    if (visible < 1) throw EnvironmentError("device cuda: " + reason);
    const GpuPlace place = gpu_place(rank.rank(), rank.size());
    ordinal_ = choose_gpu(place, visible, share);
    if (communicates) transport_.emplace(transport, device::pci_of(ordinal_), rank.communicator(), gpu_machine(), share);   // before NCCL is loaded
    device::GpuOptions options;
    options.ordinal = ordinal_;
    options.streams = {{false}};
    options.pools = {{"benchmark", StreamId{0}}};
    options.shared = sharing();
    device_ = device::make_gpu(options);
    device_->use(StreamId{0});
    if (!communicates) return;
    world_.emplace(rank.communicator(), std::max(timeout_seconds, kGpuStartSeconds));
    communicator_ = world_->split(0, rank.rank());
}

void require_processes(const RankTeam& team) {
    if (team.size() > 1 && team.of_threads())
        throw ConfigError(fmt::format("ranks = {}: ranks with GPUs are processes; start them with mpirun -np {}", team.size(), team.size()));
}

}  // namespace zerosim::cli
