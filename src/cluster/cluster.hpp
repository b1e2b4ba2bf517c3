// Devices, nodes and link tiers of a cluster, real or not.
// Built by config/ from configs/clusters/*.cfg (presets with sources, or `zerosim calibrate`); read by cost/, sim/, analysis/.
// Holds peaks and measured rates; does not turn work into time (cost/ does).
#pragma once

#include "cluster/fabric.hpp"
#include "cluster/host.hpp"
#include "cluster/host_kernels.hpp"
#include "cluster/host_transport.hpp"
#include "cluster/reliability.hpp"
#include "cluster/software.hpp"
#include "cluster/variation.hpp"

#include <cstdint>
#include <string>

namespace zerosim::cluster {

/// One tier of links seen by a collective: time of one step = latency + bytes / (bandwidth * efficiency).
struct Link {
    double latency_seconds = 0;
    double bytes_per_second = 0; // one direction, per device
    double efficiency = 1.0;     // of the bandwidth, large messages
    [[nodiscard]] double achieved_bytes_per_second() const { return bytes_per_second * efficiency; }
};

/// GEMMs in tiles of multiprocessors (cost/gemm_cost.hpp). Without multiprocessors GEMMs follow the plain roofline.
struct GemmTiles {
    std::int64_t multiprocessors = 0;
    double depth_overhead = 0;      // columns of k that the begin and end of a tile are worth
    double small_tile_loss = 0;     // efficiency of a tile goes with its area to this power
    double wave_quantization = 1;   // part of a partly filled last wave that is lost
    double sustained = 1;           // clock under a training load over that of a short burst
    double unaligned_efficiency = 1;        // of the peak, where rows do not begin at 16 bytes
    double unaligned_weight_efficiency = 1; // the same for a weight's gradient, whose depth is the tokens
};

/// Fused causal attention (cost/attention_cost.hpp): DeviceSpec::attention_efficiency is its forward efficiency.
struct AttentionSpeed {
    double backward_efficiency = 0;                   // 0 = as forward
    double softmax_flops = 0, backward_softmax_flops = 0; // what a (query, key) pair costs beside its products
    double ramp_tokens = 0;                           // the cost goes with 1 + ramp / sequence
    double flash2_efficiency = 0;                     // FlashAttention-2, forward and backward; 0 = the same library
};

/// A GPU, or one core of a CPU (rates measured with every core busy): see `Cluster::cores`.
struct DeviceSpec {
    std::string name;
    std::string generation; // cluster/generation.hpp; empty = unknown: plain roofline
    std::string architecture; // cluster/architecture.hpp; empty = that of the generation
    bool is_cpu = false;
    std::int64_t memory_bytes = 0;
    double memory_bytes_per_second = 0;
    double fp32_flops = 0, bf16_flops = 0, fp16_flops = 0; // dense matrix peaks (or measured GEMM rates for `local`)
    double vector_flops = 0;           // element-wise kernels that are not bound by memory; 0 = never the bound
    double gemm_efficiency = 1.0;      // of the peak, large aligned GEMM
    double attention_efficiency = 1.0; // of the peak, fused causal attention, triangle counted
    double memory_efficiency = 1.0;    // of the peak, streaming kernels
    double kernel_launch_seconds = 0;  // device time lost per kernel
    double host_issue_seconds = 0;     // host time per op
    std::int64_t context_bytes = 0;    // driver context and libraries
    double fp8_flops = 0;              // dense matrix peak; 0 = none
    GemmTiles gemm;
    AttentionSpeed attention;
    HostKernels host_kernels;          // a CPU core's, by shape; not measured = the rates above
};

struct Cluster {
    std::string name;
    DeviceSpec device;
    std::int64_t devices_per_node = 8;
    std::int64_t cores = 0; // CPU clusters: cores of a node, which its ranks share; 0 = every rank has a device of its own
    Link intra_node;        // NVLink, PCIe or shared memory
    Link network;           // per device: node bandwidth / devices per node
    Link host_link;         // device memory to host memory (PCIe); bandwidth 0 = they are the same memory
    Host host;              // what the devices of a node share beyond that link
    Fabric fabric;          // wiring of a node and of the network, and which library moves the bytes
    HostTransport transport; // CPU clusters: how their ranks move bytes
    double collective_launch_seconds = 0;  // of every collective, beside the latency of its steps
    double reduction_bytes_per_second = 0; // host ranks add peers' slices themselves; 0 = in-network or free
    bool measured = false;                 // from `zerosim calibrate`
    bool free_communication = false;       // cluster.communication = free
    double compute_slowdown = 0;           // a kernel takes 1 + this times as long while a collective runs on its device
    Software software;                     // cluster.software
    Variation variation;                   // variation.*: none = ranks of a role share one clock
    Reliability reliability;               // reliability.*
    std::string published_software;        // calibration.software: the stack of the published runs; empty = the newest
};

/// Nodes that `ranks` devices fill (the last one may be partly filled).
[[nodiscard]] constexpr std::int64_t nodes(const Cluster& cluster, std::int64_t ranks) {
    return (ranks + cluster.devices_per_node - 1) / cluster.devices_per_node;
}

/// Cores a rank has when `ranks` run at once: 1 on a GPU cluster; on a CPU cluster the whole cores that its threads may use, or
/// the fraction of a core that is left when ranks outnumber cores. Rates are per core, so they scale by it.
[[nodiscard]] double cores_per_rank(const Cluster& cluster, std::int64_t ranks);

/// The same nodes with another number of devices (`cluster.gpus-per-node`): the node's network bandwidth is shared anew.
[[nodiscard]] Cluster with_devices_per_node(Cluster cluster, std::int64_t devices);
/// Another network (`cluster.network-gigabits-per-node`), in Gbit/s (10^9) of one direction.
[[nodiscard]] Cluster with_network_gigabits_per_node(Cluster cluster, double gigabits);

} // namespace zerosim::cluster
