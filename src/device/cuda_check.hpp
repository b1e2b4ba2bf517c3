// Every CUDA call goes through check_cuda: what failed, where, and CUDA's own words.
// Used by device/cuda_* and comm/nccl_*.
// Does not clear sticky errors: after one, the context is lost and the rank ends.
#pragma once

#include <cuda_runtime_api.h>

#include <string_view>

namespace zerosim::device {

/// EnvironmentError for what the machine lacks (memory, a device, a driver), BugError for what the program did wrong.
void check_cuda(cudaError_t status, std::string_view what);

}  // namespace zerosim::device
