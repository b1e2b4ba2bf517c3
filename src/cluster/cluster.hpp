// Devices, nodes and link tiers of a cluster, real or not.
// Built by config/ from configs/clusters/*.cfg (presets with sources, or `zerosim calibrate`); read by cost/, sim/, analysis/.
// Holds peaks and measured rates; does not turn work into time (cost/ does).
#pragma once

#include <cstdint>
#include <string>

namespace zerosim::cluster {

/// One tier of links seen by a collective: time of one step = latency + bytes / bandwidth.
struct Link {
    double latency_seconds = 0;
    double bytes_per_second = 0;     // one direction, per device
};

struct DeviceSpec {
    std::string name;
    bool is_cpu = false;
    std::int64_t memory_bytes = 0;
    double memory_bytes_per_second = 0;
    double fp32_flops = 0, tf32_flops = 0, bf16_flops = 0, fp16_flops = 0;   // dense peaks (or measured GEMM rates for `local`)
    double gemm_efficiency = 1.0;        // of the peak, large aligned GEMM
    double memory_efficiency = 1.0;      // of the peak, streaming kernels
    double kernel_launch_seconds = 0;    // device time lost per kernel
    double host_issue_seconds = 0;       // host time per op
    std::int64_t context_bytes = 0;      // driver context and libraries
};

struct Cluster {
    std::string name;
    DeviceSpec device;
    std::int64_t devices_per_node = 8;
    Link intra_node;                     // NVLink, PCIe or shared memory
    Link network;                        // per device: node bandwidth / devices per node
    double reduction_bytes_per_second = 0;   // host ranks add peers' slices themselves; 0 = in-network or free
    bool measured = false;               // from `zerosim calibrate`
    bool free_communication = false;     // cluster.communication = free
};

/// Nodes that `ranks` devices fill (the last one may be partly filled).
[[nodiscard]] constexpr std::int64_t nodes(const Cluster& cluster, std::int64_t ranks) {
    return (ranks + cluster.devices_per_node - 1) / cluster.devices_per_node;
}

}  // namespace zerosim::cluster
