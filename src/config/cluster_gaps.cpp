#include "config/cluster_gaps.hpp"

#include "cluster/architecture.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <vector>

namespace zerosim::config {

std::string cluster_gaps(const cluster::Cluster& cluster, bool kernels) {
    if (cluster.device.is_cpu) return {};
    std::vector<std::string> missing;
    const auto add = [&](bool gap, const char* key) {
        if (gap) missing.emplace_back(key);
    };
    if (kernels) {
        add(cluster.device.generation.empty() && cluster.device.gemm_efficiency >= 1, "device.generation (or device.gemm-efficiency and device.attention-efficiency)");
        add(cluster.device.memory_efficiency >= 1, "device.memory-efficiency");
        add(cluster.device.kernel_launch_seconds <= 0, "device.kernel-launch-microseconds");
    }
    if (!cluster.free_communication) {
        // Where there is a latency somebody has measured, and an efficiency of 1 may be meant.
        const bool links = cluster.devices_per_node > 1 && cluster.intra_node.latency_seconds <= 0;
        add(links, "node.link-latency-microseconds");
        add(links && cluster.intra_node.efficiency >= 1, "node.link-efficiency");
        const bool network = cluster.network.bytes_per_second > 0 && cluster.network.latency_seconds <= 0;
        add(network, "network.latency-microseconds");
        add(network && cluster.network.efficiency >= 1, "network.efficiency");
        add(cluster.collective_launch_seconds <= 0, "collective.launch-microseconds");
    }
    if (missing.empty()) return {};
    return fmt::format("cluster '{}' says nothing of {}: taken as ideal, so the times are lower bounds (docs/collectives.md)", cluster.name, fmt::join(missing, ", "));
}

namespace {

std::string missing_bf16(const strategy::Scenario& s) {
    constexpr int kFirstWithBf16 = 80;
    const cluster::Architecture* known = cluster::architecture(s.cluster.device);
    const bool without = known != nullptr && known->capability > 0 && known->capability < kFirstWithBf16;
    if (!without || strategy::compute_dtype(s.training.precision) != DType::bf16) return {};
    const char* const instead = s.strategy.system == strategy::System::zerosim
                                    ? ""
                                    : " PyTorch emulates it, and computes attention in fp32 with all scores stored, which is not planned: more memory and time than this.";
    return fmt::format("{}: compute capability {}.{} has no bf16 units.{} train.precision fp16-mixed runs there", s.cluster.device.name,
                       known->capability / 10, known->capability % 10, instead);
}

/// transformers leaves it to SDPA to repeat key heads [use_gqa_in_sdpa], whose kernel for fp32 does not [can_use_mem_efficient_attention].
std::string stored_scores(const strategy::Scenario& s) {
    const bool eager = s.strategy.system != strategy::System::zerosim && s.strategy.system != strategy::System::megatron;
    const bool left_to_sdpa = eager && s.model.implementation == model::Implementation::huggingface && !s.training.standard_attention;
    if (!left_to_sdpa || s.model.kv_heads == s.model.heads || strategy::compute_dtype(s.training.precision) != DType::fp32) return {};
    return fmt::format("train.precision fp32: {} has {} query and {} key heads, for which PyTorch's SDPA has no fused kernel in fp32: all scores are stored; "
                       "bf16-mixed has one", s.model.name, s.model.heads, s.model.kv_heads);
}

}  // namespace

std::string precision_gap(const strategy::Scenario& s) {
    if (s.library != kernel::Library::cuda) return {};
    std::string gap = missing_bf16(s);
    return gap.empty() ? stored_scores(s) : gap;
}

std::string architecture_gap(const strategy::Scenario& s) {
    if (s.library != kernel::Library::cuda || s.strategy.system == strategy::System::zerosim || cluster::architecture(s.cluster.device) != nullptr) return {};
    return fmt::format("cluster '{}' says nothing of device.architecture or device.generation: memory has the workspaces and attention kernels of an H200 without "
                       "cuDNN (docs/collectives.md)", s.cluster.name);
}

} // namespace zerosim::config
