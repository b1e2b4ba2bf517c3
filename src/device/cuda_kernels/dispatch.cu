#include "base/error.hpp"
#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"

#include <string>

namespace zerosim::device::cuda {

void run_kernel(const KernelCall& call, const LaunchContext& context) {
    using kernel::Kernel;
    switch (call.kernel) {
        case Kernel::embedding_forward: return embedding_forward(call, context);
        case Kernel::embedding_backward: return embedding_backward(call, context);
        case Kernel::layer_norm_forward:
        case Kernel::rms_norm_forward: return norm_forward(call, context);
        case Kernel::layer_norm_backward:
        case Kernel::rms_norm_backward: return norm_backward(call, context);
        case Kernel::attention_forward: return attention_forward(call, context);
        case Kernel::attention_backward: return attention_backward(call, context);
        case Kernel::rotary_forward:
        case Kernel::rotary_backward: return rotary(call, context);
        case Kernel::gelu_forward:
        case Kernel::gelu_backward: return gelu(call, context);
        case Kernel::swiglu_forward:
        case Kernel::swiglu_backward: return swiglu(call, context);
        case Kernel::add: return add(call, context);
        case Kernel::dropout: return dropout(call, context);
        case Kernel::cross_entropy_forward: return cross_entropy_forward(call, context);
        case Kernel::cross_entropy_backward: return cross_entropy_backward(call, context);
        case Kernel::squared_norm: return squared_norm(call, context);
        case Kernel::gradient_scale: return gradient_scale(call, context);
        case Kernel::loss_scale_update: return loss_scale_update(call, context);
        case Kernel::adamw: return adamw(call, context);
        default: break;
    }
    throw BugError("the CUDA device has no kernel '" + std::string(kernel::name(call.kernel)) + "'; it runs the schedules of the zerosim system");
}

}  // namespace zerosim::device::cuda
