// What the kernel's files say of this machine: NUMA nodes, network cards, where PCI devices hang.
// Used by `doctor` and by tests, which hand in a tree of their own.
// Reads only; what a file does not say stays empty.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace zerosim::cli {

struct NumaNode {
    int number = 0;
    std::vector<int> cpus;
};

struct NetworkCard {
    std::string name;                      // "mlx5_0", "eth0"
    std::string kind;                      // "InfiniBand", "RoCE", "Ethernet"
    std::string pci;                       // "" = not on PCI
    int numa_node = -1;
    double gigabits = 0;                   // per second; 0 = not told (down)
    bool up = false;
};

/// How near two PCI devices are: below one PCIe switch, on one root complex, on one NUMA node (`nvidia-smi topo`: PIX or PXB, PHB, NODE, SYS).
enum class Nearness { same_switch, same_root, same_numa, other_numa, unknown };
[[nodiscard]] std::string_view name(Nearness nearness);

class SystemFiles {
public:
    explicit SystemFiles(std::filesystem::path root = "/") : root_(std::move(root)) {}
    [[nodiscard]] std::vector<NumaNode> numa_nodes() const;
    /// RDMA cards, and interfaces with a device behind them that are not theirs; by name.
    [[nodiscard]] std::vector<NetworkCard> cards() const;
    [[nodiscard]] int numa_node_of(const std::string& pci) const;      // -1: not told
    [[nodiscard]] Nearness nearness(const std::string& pci, const std::string& other) const;

private:
    [[nodiscard]] std::vector<std::string> bridges_of(const std::string& pci) const;
    std::filesystem::path root_;
};

/// "0-3,8" as the kernel writes lists of CPUs.
[[nodiscard]] std::vector<int> cpu_list(std::string_view text);
[[nodiscard]] std::string cpu_text(const std::vector<int>& cpus);

}  // namespace zerosim::cli
