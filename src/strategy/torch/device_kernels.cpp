// What PyTorch's libraries take on a device: aten/src/ATen/cuda/CublasHandlePool.cpp, Context.cpp, native/transformers/cuda/sdp_utils.cpp.
#include "cluster/architecture.hpp"
#include "strategy/torch/tape.hpp"

namespace zerosim::strategy::torch {
namespace {

constexpr std::int64_t kKiB = 1024;

/// parseChosenWorkspaceSize: :4096:8 on compute capabilities 9, 10 and 12, else :4096:2:16:8 (sizes in KiB x count).
std::int64_t cublas_workspace(int capability) { return capability >= 90 ? 4096 * 8 * kKiB : (4096 * 2 + 16 * 8) * kKiB; }

/// Instinct GPUs multiply with hipBLASLt [Context.cpp, blasPreferredBackend], in 76 MiB a thread and stream [parseCUDABlasLtWorkspaceSize], with a
/// bias or without; rocBLAS's workspace is never asked for. Attention is AOTriton's [sdp_utils.cpp, check_flash_attention_hardware_support].
void set_amd(DeviceKernels& kernels) {
    kernels.capability = 0;
    kernels.gemm_workspace = 76 * 1024 * kKiB;
    kernels.lt_workspace = 0;
    kernels.attention = FusedAttention::aotriton;
}

void set_nvidia(DeviceKernels& kernels, int capability, int cudnn_from) {
    kernels.capability = capability;
    kernels.gemm_workspace = cublas_workspace(capability);
    constexpr int kFlashFrom = 80;   // check_flash_attention_hardware_support: 8.0 and newer
    if (capability < kFlashFrom) kernels.attention = FusedAttention::efficient;
    // check_prefer_cudnn_attention: compute capability 9.x or 10.x (not RTX Blackwell's 12.0) and cuDNN 9.15 or newer, as PyTorch 2.11 brings it.
    constexpr int kNewestWithCudnn = 109;
    kernels.cudnn_attention = cudnn_from > 0 && capability >= cudnn_from && capability <= kNewestWithCudnn;
    kernels.cudnn_largest_head = capability == 90 ? 256 : 128;   // check_cudnn_tensor_shapes: 9.0 with cuDNN from 9.10 on
}

}  // namespace

DeviceKernels device_kernels(const Scenario& scenario) {
    const cluster::DeviceSpec& device = scenario.cluster.device;
    const cluster::Software& software = scenario.cluster.software;
    DeviceKernels kernels;
    kernels.early_bitsandbytes = software.early_bitsandbytes;
    const cluster::Architecture* known = cluster::architecture(device);
    if (known != nullptr) {
        kernels.multiprocessors = known->multiprocessors;
        kernels.threads_per_multiprocessor = known->threads_per_multiprocessor;
    }
    if (device.gemm.multiprocessors > 0) kernels.multiprocessors = device.gemm.multiprocessors;
    if (known != nullptr) known->capability > 0 ? set_nvidia(kernels, known->capability, software.cudnn_attention_from) : set_amd(kernels);
    if (scenario.library == kernel::Library::host) {   // the host's kernels save what FlashAttention saves
        kernels.capability = 0;
        kernels.attention = FusedAttention::flash;
        kernels.cudnn_attention = false;
    }
    return kernels;
}

}  // namespace zerosim::strategy::torch
