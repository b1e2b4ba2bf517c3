#include "device/host_kernels/host_kernels.hpp"

#include "base/error.hpp"

namespace zerosim::device::host {

void run_kernel(const KernelCall& call) {
    using kernel::Kernel;
    switch (call.kernel) {
        case Kernel::embedding_forward: return embedding_forward(call);
        case Kernel::embedding_backward: return embedding_backward(call);
        case Kernel::layer_norm_forward: return layer_norm_forward(call);
        case Kernel::layer_norm_backward: return layer_norm_backward(call);
        case Kernel::rms_norm_forward: return rms_norm_forward(call);
        case Kernel::rms_norm_backward: return rms_norm_backward(call);
        case Kernel::linear_forward: return linear_forward(call);
        case Kernel::linear_backward_input: return linear_backward_input(call);
        case Kernel::linear_backward_weight: return linear_backward_weight(call);
        case Kernel::attention_forward: return attention_forward(call);
        case Kernel::attention_backward: return attention_backward(call);
        case Kernel::rotary_forward: return rotary_forward(call);
        case Kernel::rotary_backward: return rotary_backward(call);
        case Kernel::gelu_forward: return gelu_forward(call);
        case Kernel::gelu_backward: return gelu_backward(call);
        case Kernel::swiglu_forward: return swiglu_forward(call);
        case Kernel::swiglu_backward: return swiglu_backward(call);
        case Kernel::add: return add(call);
        case Kernel::dropout: return dropout(call);
        case Kernel::cross_entropy_forward: return cross_entropy_forward(call);
        case Kernel::cross_entropy_backward: return cross_entropy_backward(call);
        case Kernel::squared_norm: return squared_norm(call);
        case Kernel::gradient_scale: return gradient_scale(call);
        case Kernel::loss_scale_update: return loss_scale_update(call);
        case Kernel::adamw: return adamw(call);
        case Kernel::batched_product:
            throw BugError("run_kernel: 'batched_product' stands for products of PyTorch's modules: such a schedule is simulated, not run");
        case Kernel::elementwise: return eager(call);
        case Kernel::norm_tensors: return norm_tensors(call);
        case Kernel::scale_tensors: return scale_tensors(call);
        case Kernel::adamw_tensors: return adamw_tensors(call);
        case Kernel::sgd_tensors: return sgd_tensors(call);
        case Kernel::count_: break;
    }
    throw BugError("run_kernel: kernel " + std::to_string(static_cast<int>(call.kernel)) + " is none of the vocabulary");
}

} // namespace zerosim::device::host
