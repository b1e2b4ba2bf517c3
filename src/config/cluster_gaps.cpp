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

std::string precision_gap(const strategy::Scenario& s) {
    constexpr int kFirstWithBf16 = 80;
    const cluster::Architecture* known = cluster::architecture(s.cluster.device);
    const bool without = known != nullptr && known->capability > 0 && known->capability < kFirstWithBf16 && s.library == kernel::Library::cuda;
    if (!without || strategy::compute_dtype(s.training.precision) != DType::bf16) return {};
    const char* const instead = s.strategy.system == strategy::System::zerosim
                                    ? ""
                                    : " PyTorch emulates it, and computes attention in fp32 with all scores stored, which is not planned: more memory and time than this.";
    return fmt::format("{}: compute capability {}.{} has no bf16 units.{} train.precision fp16-mixed runs there", s.cluster.device.name,
                       known->capability / 10, known->capability % 10, instead);
}

} // namespace zerosim::config
