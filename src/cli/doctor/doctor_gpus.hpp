// The GPUs and network cards of this machine as `doctor` tells of them: what they are, how they reach each other, and what will hurt.
// Called by command_doctor; pure over what NVML, CUDA and the kernel's files say, so that machines can be made up in tests.
// Starts nothing on a device.
#pragma once

#include "cli/doctor/findings.hpp"
#include "cli/doctor/system_files.hpp"
#include "cluster/cluster.hpp"
#include "device/gpu.hpp"
#include "device/gpu_state.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zerosim::cli {

/// One machine, as far as it says.
struct Hardware {
    device::GpuMachine machine;                  // NVML's
    std::vector<device::GpuInfo> cuda;           // those this process may use; in a build without CUDA none
    std::vector<NetworkCard> cards;
    std::vector<NumaNode> numa;
    std::vector<int> gpu_numa;                   // by GPU of `machine`; -1: not told
    std::vector<std::vector<Nearness>> gpus;     // GPU to GPU
    std::vector<std::vector<Nearness>> to_cards; // GPU to card
    std::int64_t shared_memory_bytes = -1;       // of /dev/shm; -1: not told
    std::int64_t lockable_bytes = -1;            // RLIMIT_MEMLOCK; -1: no limit
};
[[nodiscard]] Hardware hardware(const SystemFiles& files);

/// How a pair of GPUs reaches one another, for the table: "NVLink x18", "PCIe, host bridge", "host memory".
[[nodiscard]] std::string link_text(const Hardware& hardware, std::size_t from, std::size_t to);

/// `expected`: the cluster that this machine is taken for.
[[nodiscard]] Findings gpu_findings(const Hardware& hardware, const std::optional<cluster::Cluster>& expected);

/// NCCL's own switches that somebody has set and forgotten.
[[nodiscard]] Findings switch_findings(const std::vector<std::pair<std::string, std::string>>& environment);

}  // namespace zerosim::cli
