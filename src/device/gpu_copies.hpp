// Copies of memory timed by the device's own events: within a GPU, to and from the host's pinned and pageable memory, between GPUs.
// Called by `calibrate --device cuda`. Implemented by device/cuda_copies.cpp, or by device/without_cuda.cpp in builds without CUDA.
// Knows no schedule: what a run copies goes through StreamDevice.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace zerosim::device {

enum class CopyPath : std::uint8_t { within, pinned_to_device, pinned_from_device, pageable_to_device, pageable_from_device, between };
[[nodiscard]] constexpr std::string_view name(CopyPath path) {
    constexpr std::string_view names[] = {"within the device", "pinned to device", "device to pinned", "pageable to device", "device to pageable", "device to device"};
    return names[static_cast<std::size_t>(path)];
}

/// Seconds of each of `repeats` copies of `bytes` by the driver (cudaMemcpyAsync), after one that is not counted. `from`: the GPU; `to`: the
/// other one, where the path has two. Leaves `from` the current device.
[[nodiscard]] std::vector<double> time_copies(CopyPath path, int from, int to, std::int64_t bytes, int repeats);

}  // namespace zerosim::device
