// What the driver's management library (NVML) tells of the GPUs of this machine: links between them, PCIe, memory, who uses them.
// Filled by device/nvml; read by cli/ (doctor, forced paths, memory before a context) and tests.
// Holds facts alone: what will hurt is said by cli/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zerosim::device {

/// The far end of an NVLink that is up. `peer`: a PCI address as in GpuState; empty where the driver hides it.
struct NvLinkEnd {
    std::string peer;
    bool to_switch = false;
};

struct GpuProcess {
    std::int64_t pid = 0, bytes = -1;      // -1: hidden (a container, Windows)
};

struct GpuState {
    int index = 0;                         // NVML's, which knows no CUDA_VISIBLE_DEVICES
    std::string pci;                       // "0000:1b:00.0", as /sys names it
    std::string name;
    std::vector<NvLinkEnd> nvlinks;
    int nvlinks_down = 0;
    int pcie_width = 0, pcie_width_max = 0, pcie_generation = 0, pcie_generation_max = 0;   // 0: not told
    std::optional<bool> persistence, ecc, mig;
    std::vector<GpuProcess> processes;
    std::vector<int> peer_access;          // by NVML's index: 1 = reads and writes the other's memory, 0 = does not, -1 = not told; itself: 1
    std::int64_t used_bytes = -1, total_bytes = -1;
};

struct GpuMachine {
    std::string driver;                    // "580.65.06"
    std::vector<GpuState> gpus;
    [[nodiscard]] const GpuState* find(const std::string& pci) const {
        for (const GpuState& gpu : gpus)
            if (gpu.pci == pci) return &gpu;
        return nullptr;
    }
};

/// NVLinks between two GPUs: those that end at the other, or those that both have to switches. 0: none.
[[nodiscard]] int nvlinks_between(const GpuState& from, const GpuState& to);

/// "0000:1b:00.0" of the addresses that CUDA ("0000:1B:00.0") and NVML ("00000000:1B:00.0") write.
[[nodiscard]] std::string plain_pci(std::string address);

}  // namespace zerosim::device
