#include "cli/doctor_gpus.hpp"

#include "base/units.hpp"
#include "comm/gpu_world.hpp"
#include "device/gpu.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

namespace zerosim::cli {
namespace {

std::string text_of(const device::GpuInfo& gpu) {
    const std::string numa = gpu.numa_node >= 0 ? fmt::format(", NUMA node {}", gpu.numa_node) : "";
    return fmt::format("{}, {}, compute capability {}.{}, {} multiprocessors, PCI {}{}", gpu.name, format_bytes(static_cast<double>(gpu.memory_bytes)), gpu.compute_capability / 10,
                       gpu.compute_capability % 10, gpu.multiprocessors, gpu.bus_id, numa);
}

/// "0: self peer peer staged"
void add_links(GpuFindings& f, int gpus) {
    int staged = 0;
    for (int from = 0; from < gpus; ++from) {
        std::string row;
        for (int to = 0; to < gpus; ++to) {
            const device::GpuLink link = device::link_between(from, to);
            staged += link == device::GpuLink::staged ? 1 : 0;
            row += link == device::GpuLink::same ? " -" : link == device::GpuLink::peer ? " peer" : " staged";
        }
        f.facts.emplace_back(fmt::format("GPU {} reaches", from), row.substr(1));
    }
    if (staged > 0)
        f.missing.emplace_back(fmt::format("peer access between {} pair(s) of GPUs: data goes through host memory, several times slower (ACS or IOMMU on, or a consumer card's driver)", staged / 2));
}

/// NCCL's own switches that somebody has set and forgotten.
void add_switches(GpuFindings& f) {
    for (const char* name : {"NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE", "NCCL_IB_DISABLE", "NCCL_ALGO", "NCCL_PROTO"})
        if (const char* value = std::getenv(name); value != nullptr && std::string_view(value) != "0")
            f.missing.emplace_back(fmt::format("NCCL's own choice: {}={} is set in the environment", name, value));
}

}  // namespace

GpuFindings examine_gpus() {
    GpuFindings f;
    f.facts.emplace_back("CUDA", device::cuda_versions());
    f.facts.emplace_back("NCCL", comm::nccl_version_text());
    std::string reason;
    const int gpus = device::count_gpus(&reason);
    if (gpus == 0) {
        f.facts.emplace_back("GPUs", "none");
        f.missing.emplace_back(fmt::format("a GPU: {}; runs are on the CPU, clusters of GPUs can be simulated", reason));
        return f;
    }
    const auto all = device::list_gpus();
    for (std::size_t i = 0; i < all.size(); ++i) f.facts.emplace_back(fmt::format("GPU {}", i), text_of(all[i]));
    if (gpus > 1) add_links(f, gpus);
    if (!comm::built_with_nccl()) f.missing.emplace_back("NCCL: one rank alone can use a GPU; build where NCCL is (NCCL_HOME)");
    add_switches(f);
    return f;
}

}  // namespace zerosim::cli
