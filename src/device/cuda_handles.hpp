// RAII for what CUDA hands out: streams, events, device memory, pinned host memory.
// Used by device/cuda_*.
// Destructors do not throw: at the end of a failed run the context may be gone.
#pragma once

#include "device/cuda_check.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace zerosim::device {

struct DestroyStream {
    using pointer = cudaStream_t;
    void operator()(cudaStream_t stream) const noexcept { static_cast<void>(cudaStreamDestroy(stream)); }
};
using CudaStream = std::unique_ptr<cudaStream_t, DestroyStream>;
/// `high`: its blocks are scheduled before those of other streams (communication beside compute).
[[nodiscard]] inline CudaStream make_stream(bool high) {
    int lowest = 0, highest = 0;
    check_cuda(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "cudaDeviceGetStreamPriorityRange");
    cudaStream_t stream = nullptr;
    check_cuda(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, high ? highest : lowest), "cudaStreamCreateWithPriority");
    return CudaStream(stream);
}

struct DestroyEvent {
    using pointer = cudaEvent_t;
    void operator()(cudaEvent_t event) const noexcept { static_cast<void>(cudaEventDestroy(event)); }
};
using CudaEvent = std::unique_ptr<cudaEvent_t, DestroyEvent>;
[[nodiscard]] inline CudaEvent make_cuda_event(bool timed) {
    cudaEvent_t event = nullptr;
    check_cuda(cudaEventCreateWithFlags(&event, timed ? cudaEventDefault : cudaEventDisableTiming), "cudaEventCreate");
    return CudaEvent(event);
}

struct FreeDevice {
    void operator()(std::byte* data) const noexcept { static_cast<void>(cudaFree(data)); }
};
using DeviceMemory = std::unique_ptr<std::byte, FreeDevice>;
[[nodiscard]] inline DeviceMemory make_device_memory(std::int64_t bytes, std::string_view what) {
    void* data = nullptr;
    if (bytes > 0) check_cuda(cudaMalloc(&data, static_cast<std::size_t>(bytes)), what);
    return DeviceMemory(static_cast<std::byte*>(data));
}

struct FreePinned {
    void operator()(std::byte* data) const noexcept { static_cast<void>(cudaFreeHost(data)); }
};
using PinnedMemory = std::unique_ptr<std::byte, FreePinned>;
[[nodiscard]] inline PinnedMemory make_pinned_memory(std::int64_t bytes) {
    void* data = nullptr;
    check_cuda(cudaMallocHost(&data, static_cast<std::size_t>(bytes)), "cudaMallocHost");
    return PinnedMemory(static_cast<std::byte*>(data));
}

}  // namespace zerosim::device
