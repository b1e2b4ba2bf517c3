// Nvml: the driver's management library, loaded when it is asked for, and asked once.
// Called by cli/ and device/cuda_*. Works in builds without CUDA: it needs the driver alone.
// Changes nothing on a device and makes no context.
#pragma once

#include "device/gpu_state.hpp"

#include <memory>
#include <string>

namespace zerosim::device {

class Nvml {
public:
    /// EnvironmentError where there is no driver, with the loader's or the driver's words.
    explicit Nvml(const std::string& library = "libnvidia-ml.so.1");
    ~Nvml();
    Nvml(const Nvml&) = delete;
    Nvml& operator=(const Nvml&) = delete;

    /// All GPUs. What a device or an older driver does not tell stays empty.
    [[nodiscard]] GpuMachine machine() const;
    /// Used on the whole device, without what the driver reserves: total - free of cudaMemGetInfo, which needs a context. -1: not told, or MIG.
    [[nodiscard]] std::int64_t used_bytes(const std::string& pci) const;
    /// Of one process. -1: not told (in a container the driver knows other process ids).
    [[nodiscard]] std::int64_t process_bytes(const std::string& pci, std::int64_t pid) const;

private:
    struct Functions;
    [[nodiscard]] GpuState state_of(unsigned index, unsigned devices) const;
    std::unique_ptr<Functions> f_;
};

}  // namespace zerosim::device
