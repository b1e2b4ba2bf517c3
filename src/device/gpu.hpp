// GPUs without CUDA's headers: how many there are, what they are, how they reach each other, and one of them as a StreamDevice.
// Called by cli/. Implemented by device/cuda_gpu.cpp, or by device/without_cuda.cpp in builds without CUDA, which has none.
// Asks the driver; changes nothing.
#pragma once

#include "device/stream_device.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace zerosim::device {

[[nodiscard]] bool built_with_cuda();
/// GPUs that this process sees; where there are none, `reason` says why in the driver's words.
[[nodiscard]] int count_gpus(std::string* reason = nullptr);

struct GpuInfo {
    std::string name, bus_id;
    std::int64_t memory_bytes = 0;
    int compute_capability = 0;                          // 90 = 9.0
    int multiprocessors = 0;
    int numa_node = -1;                                  // -1: the system does not say
};
[[nodiscard]] std::vector<GpuInfo> list_gpus();

/// The PCI address of a device, without making a context on it.
[[nodiscard]] std::string pci_of(int ordinal);

/// What the driver would still give of the device that the calling thread has chosen.
[[nodiscard]] std::int64_t free_gpu_bytes();

/// How one GPU reaches another's memory.
enum class GpuLink : std::uint8_t { same, peer, staged };   // peer: NVLink or PCIe directly; staged: through host memory
[[nodiscard]] GpuLink link_between(int from, int to);

/// "13.0 (driver 13.0)"; "none" in builds without CUDA.
[[nodiscard]] std::string cuda_versions();

struct GpuOptions {
    int ordinal = 0;
    struct Stream {
        bool communication = false;                      // higher priority
    };
    std::vector<Stream> streams;                         // StreamId indexes it
    struct Pool {
        std::string name;
        StreamId owner;
    };
    std::vector<Pool> pools;                             // PoolId indexes it
    std::vector<std::int64_t> arena_bytes;               // planned: one size a pool; empty: stream-ordered allocation
    std::function<std::shared_ptr<std::byte>(std::int64_t bytes)> arena_memory;   // where arenas come from; empty: cudaMalloc
    std::int64_t used_before = -1;                       // the driver's figure of this device before the process has a context (Nvml)
    bool shared = false;                                 // other ranks are on it
};
/// Throws EnvironmentError when there is no such GPU, or the build has no CUDA.
[[nodiscard]] std::unique_ptr<StreamDevice> make_gpu(const GpuOptions& options);

}  // namespace zerosim::device
