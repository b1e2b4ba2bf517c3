#include "config/host_threads.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <string>

namespace zerosim::config {

std::int64_t settle_threads(Values& values, const Machine& machine, std::int64_t ranks) {
    if (const std::int64_t asked = values.integer("compute-threads"); asked != 0) return asked;
    const std::int64_t sharing = std::max<std::int64_t>(1, machine.local_ranks.value_or(ranks));
    const std::int64_t threads = std::max<std::int64_t>(1, machine.cores / sharing);
    values.set("compute-threads", std::to_string(threads), fmt::format("{} cores / {} ranks", machine.cores, sharing));
    return 0;
}

/// torchrun sets OMP_NUM_THREADS=1 for several ranks a node unless it is set (torch/distributed/run.py, config_from_args); DeepSpeed's
/// launcher sets it with --bind_cores_to_rank alone, to the rank's part of the cores.
std::int64_t host_threads(std::int64_t asked, const Values& values, const cluster::Cluster& cluster, std::int64_t ranks) {
    if (asked > 0) return asked;
    const bool torchrun = values.text("strategy.system") == "fsdp" || values.text("strategy.system") == "fsdp2";
    return torchrun && std::min(ranks, cluster.devices_per_node) > 1 ? 1 : 0;
}

void show_host_threads(Values& values, std::int64_t threads) {
    values.set("compute-threads", std::to_string(threads), threads == 0 ? "as many as the host's memory feeds" : "OMP_NUM_THREADS as torchrun sets it");
}

} // namespace zerosim::config
