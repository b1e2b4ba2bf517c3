// The CUDA implementation of each kernel of the vocabulary, and the switch that picks one.
// Called by CudaDevice::launch and, compiled for the emulated grid, by tests; operands and attributes are those of kernel/kernel.hpp.
// They launch and return: nothing is allocated and nothing waited for. Matrix products are cuBLASLt's where it can (device/cuda_blas.hpp).
#pragma once

#include "device/device.hpp"

#ifdef __CUDACC__
#include <cuda_runtime_api.h>
#elif defined(ZEROSIM_CUDA_EMULATION)
#include "support/cuda_emulation.hpp"
#else
#include <cuda_runtime_api.h>
#endif

namespace zerosim::device::cuda {

/// What a launch needs beside the call.
struct LaunchContext {
    cudaStream_t stream = nullptr;
    std::byte* scratch = nullptr;                       // kScratchBytes of device memory, used by one stream alone
    bool tensor_cores = false;                          // compute capability 8.0 or later: products of 2-byte floats by warps
};
/// Partial sums of reductions over rows.
inline constexpr std::int64_t kScratchBytes = std::int64_t{16} << 20;

void embedding_forward(const KernelCall& call, const LaunchContext& context);
void embedding_backward(const KernelCall& call, const LaunchContext& context);
void norm_forward(const KernelCall& call, const LaunchContext& context);          // layer norm and RMS norm
void norm_backward(const KernelCall& call, const LaunchContext& context);
void attention_forward(const KernelCall& call, const LaunchContext& context);
void attention_backward(const KernelCall& call, const LaunchContext& context);
void rotary(const KernelCall& call, const LaunchContext& context);                // forward and backward
void gelu(const KernelCall& call, const LaunchContext& context);
void swiglu(const KernelCall& call, const LaunchContext& context);
void add(const KernelCall& call, const LaunchContext& context);
void dropout(const KernelCall& call, const LaunchContext& context);
void cross_entropy_forward(const KernelCall& call, const LaunchContext& context);
void cross_entropy_backward(const KernelCall& call, const LaunchContext& context);
void squared_norm(const KernelCall& call, const LaunchContext& context);
void gradient_scale(const KernelCall& call, const LaunchContext& context);
void loss_scale_update(const KernelCall& call, const LaunchContext& context);
void adamw(const KernelCall& call, const LaunchContext& context);
void bias_gradient(const TensorView& d_y, const TensorView& d_bias, bool accumulate, const LaunchContext& context);
/// result = [result +] left right, of any strides and alignment, summed in fp32: for the products that cuBLASLt has no algorithm for. Slow.
void plain_product(const TensorView& left, bool left_transposed, const TensorView& right, bool right_transposed, const TensorView& result, bool accumulate, const LaunchContext& context);

/// Casts where the dtypes differ; adds into the destination when `accumulate`. Any strides.
void copy(const TensorView& source, const TensorView& destination, bool accumulate, const LaunchContext& context);
void fill(const TensorView& destination, double value, const LaunchContext& context);
/// Holds the stream for `seconds` without touching memory: --compute synthetic.
void spin(double seconds, const LaunchContext& context);

/// Runs any kernel but the matrix products.
void run_kernel(const KernelCall& call, const LaunchContext& context);

}  // namespace zerosim::device::cuda
