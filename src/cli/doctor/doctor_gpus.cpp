#include "cli/doctor/doctor_gpus.hpp"

#include "base/units.hpp"
#include "cli/run/gpu_transport.hpp"

#include <fmt/format.h>

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <algorithm>

namespace zerosim::cli {
namespace {

/// NCCL user guide, "Troubleshooting", Shared Memory: containers get 64 MB by default, and --shm-size=1g is what it recommends.
constexpr std::int64_t kSharedMemory = std::int64_t{1} << 30;
/// What an idle GPU's driver may hold for its daemons.
constexpr std::int64_t kUsedByOthers = std::int64_t{256} << 20;

std::string bytes(std::int64_t count) { return format_bytes(static_cast<double>(count)); }

std::string yes(const std::optional<bool>& value, const char* what) { return value ? fmt::format(", {} {}", what, *value ? "on" : "off") : ""; }

std::string pcie_text(const device::GpuState& gpu) {
    return gpu.pcie_width > 0 && gpu.pcie_generation_max > 0 ? fmt::format(" gen{} x{}", gpu.pcie_generation_max, gpu.pcie_width) : "";
}

std::string gpu_text(const Hardware& h, std::size_t i) {
    const device::GpuState& gpu = h.machine.gpus[i];
    const auto cuda = std::ranges::find(h.cuda, gpu.pci, &device::GpuInfo::bus_id);
    std::string text = gpu.name + (gpu.total_bytes > 0 ? ", " + bytes(gpu.total_bytes) : "");
    if (cuda != h.cuda.end()) text += fmt::format(", compute capability {}.{}, {} multiprocessors", cuda->compute_capability / 10, cuda->compute_capability % 10, cuda->multiprocessors);
    else if (!h.cuda.empty()) text += ", hidden by CUDA_VISIBLE_DEVICES";
    text += fmt::format(", PCI {}{}", gpu.pci, pcie_text(gpu));
    if (h.gpu_numa[i] >= 0) text += fmt::format(", NUMA node {}", h.gpu_numa[i]);
    text += yes(gpu.persistence, "persistence") + yes(gpu.ecc, "ECC");
    if (gpu.mig.value_or(false)) text += ", MIG on";
    return text;
}

std::string cuda_text(const device::GpuInfo& gpu) {
    const std::string numa = gpu.numa_node >= 0 ? fmt::format(", NUMA node {}", gpu.numa_node) : "";
    return fmt::format("{}, {}, compute capability {}.{}, {} multiprocessors, PCI {}{}", gpu.name, bytes(gpu.memory_bytes), gpu.compute_capability / 10, gpu.compute_capability % 10,
                       gpu.multiprocessors, gpu.bus_id, numa);
}

bool reaches(const device::GpuState& from, std::size_t to) { return to >= from.peer_access.size() || from.peer_access[to] != 0; }

/// Pairs, each once: "0-1, 0-2 and 4 more".
std::string pairs_text(const std::vector<std::pair<std::size_t, std::size_t>>& pairs) {
    constexpr std::size_t kShown = 4;
    std::string text;
    for (std::size_t i = 0; i < std::min(kShown, pairs.size()); ++i) text += fmt::format("{}{}-{}", i == 0 ? "" : ", ", pairs[i].first, pairs[i].second);
    return pairs.size() > kShown ? text + fmt::format(" and {} more", pairs.size() - kShown) : text;
}

void add_links(Findings& f, const Hardware& h) {
    const std::size_t gpus = h.machine.gpus.size();
    std::vector<std::pair<std::size_t, std::size_t>> staged;
    for (std::size_t from = 0; from < gpus; ++from)
        for (std::size_t to = from + 1; to < gpus; ++to) {
            // Equal links of consecutive peers are one line.
            if (to == from + 1 || link_text(h, from, to) != link_text(h, from, to - 1)) {
                std::size_t last = to;
                while (last + 1 < gpus && link_text(h, from, last + 1) == link_text(h, from, to)) ++last;
                const std::string peers = last > to ? fmt::format("{}-{}", to, last) : std::to_string(to);
                f.facts.emplace_back(fmt::format("GPU {} to GPU {}", from, peers), link_text(h, from, to));
            }
            const bool nvlink = nvlinks_between(h.machine.gpus[from], h.machine.gpus[to]) > 0;
            if (!nvlink && !reaches(h.machine.gpus[from], to)) staged.emplace_back(from, to);
        }
    if (!staged.empty())
        f.warnings.push_back(fmt::format("GPUs without access to each other ({}): their data goes through host memory, several times slower (ACS or IOMMU on, or a consumer "
                                         "card's driver)", pairs_text(staged)));
}

void add_gpu_warnings(Findings& f, const device::GpuState& gpu) {
    const std::string who = fmt::format("GPU {}", gpu.index);
    if (gpu.nvlinks_down > 0 && !gpu.nvlinks.empty()) f.warnings.push_back(fmt::format("{}: {} of its {} NVLinks are down", who, gpu.nvlinks_down, gpu.nvlinks_down + static_cast<int>(gpu.nvlinks.size())));
    if (gpu.pcie_width > 0 && gpu.pcie_width < gpu.pcie_width_max)
        f.warnings.push_back(fmt::format("{}: PCIe x{} of x{}: copies to the host and between nodes are slower; reseat the card or look at the slot", who, gpu.pcie_width, gpu.pcie_width_max));
    if (gpu.mig.value_or(false)) f.warnings.push_back(who + ": MIG is on: a rank gets a part of it, and NCCL does not connect such parts");
    if (gpu.persistence && !*gpu.persistence) f.warnings.push_back(who + ": persistence mode is off: each start waits seconds for the driver (nvidia-smi -pm 1)");
    if (gpu.used_bytes > kUsedByOthers || !gpu.processes.empty())
        f.warnings.push_back(fmt::format("{}: in use: {} process{}{}", who, gpu.processes.size(), gpu.processes.size() == 1 ? "" : "es",
                                         gpu.used_bytes > 0 ? fmt::format(", {} of memory taken", bytes(gpu.used_bytes)) : ""));
}

void add_cards(Findings& f, const Hardware& h) {
    for (std::size_t c = 0; c < h.cards.size(); ++c) {
        const NetworkCard& card = h.cards[c];
        std::string near;
        for (std::size_t g = 0; g < h.to_cards.size(); ++g)
            if (h.to_cards[g][c] == Nearness::same_switch) near += fmt::format("{}{}", near.empty() ? ", behind one PCIe switch with GPU " : ", ", g);
        f.facts.emplace_back(card.name, fmt::format("{}, {}{}{}{}", card.kind, card.up ? "up" : "down", card.gigabits > 0 ? fmt::format(", {:g} Gbit/s", card.gigabits) : "",
                                                    card.numa_node >= 0 ? fmt::format(", NUMA node {}", card.numa_node) : "", near));
    }
    const auto rdma = [](const NetworkCard& card) { return card.up && card.kind != "Ethernet"; };
    if (std::ranges::none_of(h.cards, rdma)) return;
    if (h.lockable_bytes >= 0)
        f.warnings.push_back(fmt::format("at most {} of memory may be locked (ulimit -l): RDMA cards need it unlimited, else NCCL's registration fails", bytes(h.lockable_bytes)));
    for (std::size_t g = 0; g < h.to_cards.size(); ++g) {
        Nearness best = Nearness::unknown;
        for (std::size_t c = 0; c < h.cards.size(); ++c)
            if (rdma(h.cards[c]) && h.to_cards[g][c] < best) best = h.to_cards[g][c];
        if (best == Nearness::other_numa) f.warnings.push_back(fmt::format("GPU {}: every RDMA card is on another NUMA node: traffic between nodes crosses the sockets' link, without GPUDirect", g));
    }
}

void add_expected(Findings& f, const Hardware& h, const cluster::Cluster& expected) {
    if (expected.device.is_cpu || h.machine.gpus.empty()) return;
    const auto& gpus = h.machine.gpus;
    const auto count = static_cast<std::int64_t>(gpus.size());
    if (count != expected.devices_per_node) f.warnings.push_back(fmt::format("cluster {} has {} GPUs a node, this machine {} (--cluster.gpus-per-node {})", expected.name, expected.devices_per_node, count, count));
    const double memory = static_cast<double>(expected.device.memory_bytes);
    if (gpus[0].total_bytes > 0 && std::abs(static_cast<double>(gpus[0].total_bytes) / memory - 1) > 0.05)
        f.warnings.push_back(fmt::format("cluster {} has GPUs of {} ({}), this machine of {} ({})", expected.name, format_bytes(memory), expected.device.name, bytes(gpus[0].total_bytes), gpus[0].name));
    if (expected.fabric.wiring == cluster::Wiring::pcie || count < 2) return;
    const std::int64_t island = expected.fabric.island_devices > 0 ? std::min(expected.fabric.island_devices, count) : count;
    std::vector<std::pair<std::size_t, std::size_t>> apart;
    for (std::size_t from = 0; from < gpus.size(); ++from)
        for (std::size_t to = from + 1; to < gpus.size(); ++to) {
            const bool one_island = static_cast<std::int64_t>(from) / island == static_cast<std::int64_t>(to) / island;
            if (one_island && nvlinks_between(gpus[from], gpus[to]) == 0) apart.emplace_back(from, to);
        }
    if (!apart.empty()) f.warnings.push_back(fmt::format("cluster {} has NVLink between these GPUs, this machine none: {}", expected.name, pairs_text(apart)));
}

}  // namespace

Hardware hardware(const SystemFiles& files) {
    Hardware h;
    h.machine = gpu_machine();
    h.cuda = device::list_gpus();
    h.cards = files.cards();
    h.numa = files.numa_nodes();
    for (const device::GpuState& gpu : h.machine.gpus) {
        h.gpu_numa.push_back(files.numa_node_of(gpu.pci));
        auto& row = h.gpus.emplace_back();
        for (const device::GpuState& other : h.machine.gpus) row.push_back(files.nearness(gpu.pci, other.pci));
        auto& cards = h.to_cards.emplace_back();
        for (const NetworkCard& card : h.cards) cards.push_back(files.nearness(gpu.pci, card.pci));
    }
    struct statvfs shared {};
    if (::statvfs("/dev/shm", &shared) == 0) h.shared_memory_bytes = static_cast<std::int64_t>(shared.f_bavail) * static_cast<std::int64_t>(shared.f_frsize);
    rlimit locked{};
    if (::getrlimit(RLIMIT_MEMLOCK, &locked) == 0 && locked.rlim_cur != RLIM_INFINITY) h.lockable_bytes = static_cast<std::int64_t>(locked.rlim_cur);
    return h;
}

std::string link_text(const Hardware& h, std::size_t from, std::size_t to) {
    const device::GpuState& gpu = h.machine.gpus[from];
    const int links = nvlinks_between(gpu, h.machine.gpus[to]);
    const Nearness near = h.gpus[from][to];
    const std::string where = near == Nearness::unknown ? "" : fmt::format(", {}", name(near));
    if (links > 0) return fmt::format("NVLink x{}", links);
    return (reaches(gpu, to) ? "PCIe" : "host memory (no peer access)") + where;
}

Findings gpu_findings(const Hardware& h, const std::optional<cluster::Cluster>& expected) {
    Findings f;
    if (!h.machine.driver.empty()) f.facts.emplace_back("driver", h.machine.driver);
    for (std::size_t i = 0; i < h.machine.gpus.size(); ++i) f.facts.emplace_back(fmt::format("GPU {}", i), gpu_text(h, i));
    if (h.machine.gpus.empty())   // no management library: what CUDA itself knows
        for (std::size_t i = 0; i < h.cuda.size(); ++i) f.facts.emplace_back(fmt::format("GPU {}", i), cuda_text(h.cuda[i]));
    add_links(f, h);
    for (const NumaNode& node : h.numa) f.facts.emplace_back(fmt::format("NUMA node {}", node.number), "cores " + cpu_text(node.cpus));
    add_cards(f, h);
    for (const device::GpuState& gpu : h.machine.gpus) add_gpu_warnings(f, gpu);
    if (h.shared_memory_bytes >= 0 && h.machine.gpus.size() > 1) {
        f.facts.emplace_back("shared memory free", bytes(h.shared_memory_bytes));
        if (h.shared_memory_bytes < kSharedMemory)
            f.warnings.push_back(fmt::format("/dev/shm has {} free: NCCL keeps its queues and buffers there (docker run --shm-size=1g)", bytes(h.shared_memory_bytes)));
    }
    if (expected) add_expected(f, h, *expected);
    return f;
}

Findings switch_findings(const std::vector<std::pair<std::string, std::string>>& environment) {
    Findings f;
    for (const auto& [name, value] : environment)
        if (!value.empty() && value != "0") f.warnings.push_back(fmt::format("NCCL does not choose freely: {}={} is set in the environment", name, value));
    return f;
}

}  // namespace zerosim::cli
