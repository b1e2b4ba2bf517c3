// The host's implementation of every kernel of the vocabulary, and the switch that picks one.
// Called by HostDevice::launch and by tests; operands, their order and attributes are those of kernel/kernel.hpp.
// They allocate nothing beyond small stack arrays and threads only through call.context.workers.
#pragma once

#include "device/device.hpp"

namespace zerosim::device::host {

void embedding_forward(const KernelCall& call);
void embedding_backward(const KernelCall& call);
void layer_norm_forward(const KernelCall& call);
void layer_norm_backward(const KernelCall& call);
void rms_norm_forward(const KernelCall& call);
void rms_norm_backward(const KernelCall& call);
void linear_forward(const KernelCall& call);
void linear_backward_input(const KernelCall& call);
void linear_backward_weight(const KernelCall& call);
void attention_forward(const KernelCall& call);
void attention_backward(const KernelCall& call);
void rotary_forward(const KernelCall& call);
void rotary_backward(const KernelCall& call);
void gelu_forward(const KernelCall& call);
void gelu_backward(const KernelCall& call);
void swiglu_forward(const KernelCall& call);
void swiglu_backward(const KernelCall& call);
void add(const KernelCall& call);
void dropout(const KernelCall& call);
void cross_entropy_forward(const KernelCall& call);
void cross_entropy_backward(const KernelCall& call);
void squared_norm(const KernelCall& call);
void gradient_scale(const KernelCall& call);
void loss_scale_update(const KernelCall& call);
void adamw(const KernelCall& call);
void eager(const KernelCall& call);
void norm_tensors(const KernelCall& call);
void scale_tensors(const KernelCall& call);
void adamw_tensors(const KernelCall& call);
void sgd_tensors(const KernelCall& call);

/// Runs the kernel that the call names.
void run_kernel(const KernelCall& call);

} // namespace zerosim::device::host
