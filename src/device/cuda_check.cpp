#include "device/cuda_check.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

namespace zerosim::device {
namespace {

/// A kernel's fault is told by the first call that looks afterwards, whichever that is (CUDA Runtime API, "Error Handling").
bool of_a_kernel(cudaError_t status) {
    switch (status) {
        case cudaErrorIllegalAddress:
        case cudaErrorMisalignedAddress:
        case cudaErrorInvalidAddressSpace:
        case cudaErrorIllegalInstruction:
        case cudaErrorInvalidPc:
        case cudaErrorHardwareStackError:
        case cudaErrorLaunchFailure:
        case cudaErrorLaunchTimeout:
        case cudaErrorAssert: return true;
        default: return false;
    }
}

}  // namespace

void check_cuda(cudaError_t status, std::string_view what) {
    if (status == cudaSuccess) return;
    const std::string text = fmt::format("{}: {} ({}){}", what, cudaGetErrorString(status), cudaGetErrorName(status),
                                         of_a_kernel(status) ? "; an earlier op's kernel may have done it: with CUDA_LAUNCH_BLOCKING=1 in the environment this names the op" : "");
    switch (status) {
        case cudaErrorMemoryAllocation:
        case cudaErrorNoDevice:
        case cudaErrorInsufficientDriver:
        case cudaErrorDevicesUnavailable:
        case cudaErrorSystemDriverMismatch:
        case cudaErrorUnsupportedPtxVersion:
        case cudaErrorECCUncorrectable:
        case cudaErrorNvlinkUncorrectable:
        case cudaErrorNoKernelImageForDevice: throw EnvironmentError(text);
        default: throw BugError(text);
    }
}

}  // namespace zerosim::device
