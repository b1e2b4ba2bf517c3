// A tree of kernel files in a folder of its own, removed at the end: NUMA nodes, PCI devices behind bridges, network cards.
#pragma once

#include "cli/doctor/system_files.hpp"

#include <unistd.h>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

namespace zerosim::test {

namespace fs = std::filesystem;

class FakeSystem {
public:
    FakeSystem() : root_(fs::temp_directory_path() / ("zerosim-system-" + std::to_string(::getpid()) + "-" + std::to_string(counter()++))) { fs::create_directories(root_); }
    FakeSystem(FakeSystem&& other) noexcept : root_(std::exchange(other.root_, {})) {}
    ~FakeSystem() {
        std::error_code error;
        if (!root_.empty()) fs::remove_all(root_, error);
    }
    [[nodiscard]] cli::SystemFiles files() const { return cli::SystemFiles(root_); }

    void write(const fs::path& path, const std::string& text) {
        fs::create_directories((root_ / path).parent_path());
        std::ofstream(root_ / path) << text << "\n";
    }
    /// `path` below /sys/devices ends with the device's address.
    void pci_device(const fs::path& path, int numa_node) {
        write("sys/devices" / path / "numa_node", std::to_string(numa_node));
        link("sys/bus/pci/devices" / path.filename(), "sys/devices" / path);
    }
    void rdma_card(const std::string& name, const fs::path& device, const std::string& state, const std::string& rate, const std::string& layer) {
        const fs::path folder = fs::path("sys/class/infiniband") / name;
        link(folder / "device", "sys/devices" / device);
        write(folder / "ports/1/state", state);
        write(folder / "ports/1/rate", rate);
        write(folder / "ports/1/link_layer", layer);
    }
    void interface(const std::string& name, const fs::path& device, const std::string& speed, const std::string& state) {
        const fs::path folder = fs::path("sys/class/net") / name;
        write(folder / "operstate", state);
        write(folder / "speed", speed);
        if (!device.empty()) link(folder / "device", "sys/devices" / device);
    }

private:
    static std::atomic<int>& counter() {
        static std::atomic<int> next{0};
        return next;
    }
    void link(const fs::path& from, const fs::path& to) {
        fs::create_directories((root_ / from).parent_path());
        fs::create_directories(root_ / to);
        fs::create_directory_symlink(root_ / to, root_ / from);
    }
    fs::path root_;
};

/// Socket 0: a switch with GPU 1b and card 1d, and GPU 21 on the same root; another root with GPU 31. Socket 1: GPU ab, card ad (down), eth1.
inline FakeSystem two_sockets() {
    FakeSystem system;
    system.write("sys/devices/system/node/node0/cpulist", "0-3");
    system.write("sys/devices/system/node/node1/cpulist", "4-7");
    system.write("sys/devices/system/node/possible", "0-1");
    const fs::path below_switch = "pci0000:17/0000:17:01.0/0000:18:00.0";
    system.pci_device(below_switch / "0000:19:00.0/0000:1b:00.0", 0);
    system.pci_device(below_switch / "0000:19:01.0/0000:1d:00.0", 0);
    system.pci_device("pci0000:17/0000:17:03.0/0000:21:00.0", 0);
    system.pci_device("pci0000:30/0000:30:01.0/0000:31:00.0", 0);
    system.pci_device("pci0000:a7/0000:a7:01.0/0000:ab:00.0", 1);
    system.pci_device("pci0000:a7/0000:a7:03.0/0000:ad:00.0", 1);
    system.pci_device("pci0000:a7/0000:a7:05.0/0000:af:00.0", 1);
    system.rdma_card("mlx5_0", below_switch / "0000:19:01.0/0000:1d:00.0", "4: ACTIVE", "400 Gb/sec (4X NDR)", "InfiniBand");
    system.rdma_card("mlx5_1", "pci0000:a7/0000:a7:03.0/0000:ad:00.0", "1: DOWN", "40 Gb/sec (4X QDR)", "Ethernet");
    system.interface("ib0", below_switch / "0000:19:01.0/0000:1d:00.0", "400000", "up");
    system.interface("eth1", "pci0000:a7/0000:a7:05.0/0000:af:00.0", "25000", "up");
    system.interface("lo", "", "", "unknown");
    return system;
}

}  // namespace zerosim::test
