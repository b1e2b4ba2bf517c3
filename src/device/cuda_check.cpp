#include "device/cuda_check.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

namespace zerosim::device {

void check_cuda(cudaError_t status, std::string_view what) {
    if (status == cudaSuccess) return;
    const std::string text = fmt::format("{}: {} ({})", what, cudaGetErrorString(status), cudaGetErrorName(status));
    switch (status) {
        case cudaErrorMemoryAllocation:
        case cudaErrorNoDevice:
        case cudaErrorInsufficientDriver:
        case cudaErrorDevicesUnavailable:
        case cudaErrorSystemDriverMismatch:
        case cudaErrorNoKernelImageForDevice: throw EnvironmentError(text);
        default: throw BugError(text);
    }
}

}  // namespace zerosim::device
