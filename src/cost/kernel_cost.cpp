// The roofline (Williams, Waterman, Patterson, CACM 52(4), 2009): a kernel takes as long as its scarcest resource. On GPUs of a
// known generation the arithmetic of GEMMs and attention goes by their shape (gemm_cost, attention_cost).
#include "cost/attention_cost.hpp"
#include "cost/cost.hpp"
#include "cost/gemm_cost.hpp"
#include "cost/host_kernel_cost.hpp"
#include "kernel/work.hpp"

#include <algorithm>

namespace zerosim::cost {
namespace {

using kernel::Kernel;
using kernel::KernelClass;

// GEMMs of fp32 operands run in fp32, as PyTorch's default has it (torch.backends.cuda.matmul.allow_tf32 = False since 1.12).
double matrix_peak(const cluster::DeviceSpec& device, DType type) {
    switch (type) {
        case DType::bf16: return device.bf16_flops;
        case DType::fp16: return device.fp16_flops;
        default: return device.fp32_flops;
    }
}

double per(double work, double rate) { return rate > 0 ? work / rate : 0.0; }

double or_else(double value, double otherwise) { return value > 0 ? value : otherwise; }

double norm_efficiency(Kernel kernel, const cluster::Software& software) {
    const bool rms = kernel == Kernel::rms_norm_forward || kernel == Kernel::rms_norm_backward;
    if (!rms) return software.memory.norm;
    return software.compiled ? std::max(software.memory.norm, software.memory.rms_norm) : software.memory.rms_norm;
}

double memory_efficiency(Kernel kernel, const cluster::DeviceSpec& device, const cluster::Software& software) {
    const double otherwise = device.memory_efficiency;
    switch (kernel::kernel_class(kernel)) {
        case KernelClass::norm: return or_else(norm_efficiency(kernel, software), otherwise);
        case KernelClass::elementwise:
            return or_else(software.memory.elementwise, otherwise) / (software.compiled ? software.compiled_traffic : 1.0);
        case KernelClass::embedding: return or_else(software.memory.embedding, otherwise);
        case KernelClass::loss: return or_else(software.memory.loss, otherwise);
        case KernelClass::optimizer: return or_else(software.memory.optimizer, otherwise);
        case KernelClass::gemm:
        case KernelClass::attention:
        case KernelClass::scalar: return otherwise;
    }
    return otherwise;
}

/// Compulsory traffic, and what the software moves beyond it.
double bytes_moved(Kernel kernel, const kernel::Attributes& a, DType type, const cluster::Software& software, double compulsory) {
    const double logits = static_cast<double>(a.tokens) * static_cast<double>(a.vocabulary);
    const bool narrow = size_of(type) == 2;
    if (kernel == Kernel::cross_entropy_forward && narrow && software.loss_forward_bytes > 0)
        return software.loss_forward_bytes * logits;
    if (kernel == Kernel::cross_entropy_backward && narrow && software.loss_backward_bytes > 0)
        return software.loss_backward_bytes * logits;
    if ((kernel == Kernel::adamw || kernel == Kernel::adamw_tensors) && software.optimizer_bytes_per_parameter > 0)
        return software.optimizer_bytes_per_parameter * static_cast<double>(a.tokens);
    return compulsory;
}

// 16 bytes: what tensor-core kernels load at once (CUTLASS, "alignment" of a kernel).
bool aligned(std::int64_t columns, DType type) { return columns * size_of(type) % 16 == 0; }

/// y[T,out] = x W^T; d_x[T,in] = d_y W; d_W[out,in] = d_y^T x. Rows of x, W, y have in, in, out columns.
GemmShape shape_of(Kernel kernel, const kernel::Attributes& a, DType type) {
    const bool rows_aligned = aligned(a.in, type) && aligned(a.out, type);
    if (kernel == Kernel::linear_forward || kernel == Kernel::batched_product) return {a.tokens, a.out, a.in, rows_aligned, false};
    if (kernel == Kernel::linear_backward_input) return {a.tokens, a.in, a.out, rows_aligned, false};
    return {a.out, a.in, a.tokens, rows_aligned, true};
}

/// Elements cast to 8 bits for a product. Forward casts input and weight, and writes both transposed as well; the input's gradient
/// casts the output's gradient; the weight's gradient finds both there (NVIDIA Transformer Engine, cast_transpose).
double cast_elements(Kernel kernel, const kernel::Attributes& a) {
    const auto tokens = static_cast<double>(a.tokens), in = static_cast<double>(a.in), out = static_cast<double>(a.out);
    if (kernel == Kernel::linear_forward) return tokens * in + out * in;
    return kernel == Kernel::linear_backward_input ? tokens * out : 0.0;
}

// 8-bit products reach less of their peak than 16-bit ones: 0.71 against 0.80 on an H100, 0.76 against 0.78 on a B200
// (stas00/ml-engineering, MAMF finder). A cast reads 2 bytes an element and writes 1 twice.
double fp8_seconds(Kernel kernel, const kernel::Attributes& a, DType type, double flops, const cluster::DeviceSpec& device) {
    constexpr double kRelativeEfficiency = 0.89, kCastBytes = 4;
    const double peak = device.fp8_flops * kRelativeEfficiency;
    const bool tiles = device.gemm.multiprocessors > 0; // else nothing is known but an efficiency
    const double product = tiles ? gemm_seconds(shape_of(kernel, a, type), peak, device) : per(flops, peak * device.gemm_efficiency);
    return product + kCastBytes * cast_elements(kernel, a) / (device.memory_bytes_per_second * device.memory_efficiency);
}

double matrix_seconds(Kernel kernel, const kernel::Attributes& a, DType type, const kernel::Work& work,
                      const cluster::DeviceSpec& device, const cluster::Software& software) {
    const double peak = matrix_peak(device, type);
    const bool attention = kernel::kernel_class(kernel) == KernelClass::attention;
    if (!attention && a.fp8 && work.matrix_flops > 0 && device.fp8_flops > 0) return fp8_seconds(kernel, a, type, work.matrix_flops, device);
    if (device.gemm.multiprocessors > 0 && work.matrix_flops > 0 && peak > 0) {
        if (attention) return attention_seconds(a, kernel == Kernel::attention_backward, peak, device, software);
        if (size_of(type) == 2) return gemm_seconds(shape_of(kernel, a, type), peak, device);
    }
    return per(work.matrix_flops, peak * (attention ? device.attention_efficiency : device.gemm_efficiency));
}

/// On a CPU the same core does matrix and vector arithmetic, one after the other; operands lie in its cache or in memory.
double host_kernel_seconds(Kernel kernel, const kernel::Attributes& attributes, DType type, const kernel::Work& work, double roofline,
                           const cluster::DeviceSpec& device, double cores) {
    // Masters and states of AdamW are 16 bytes a parameter, of which three quarters are read and written.
    const double footprint = kernel == Kernel::adamw || kernel == Kernel::adamw_tensors ? 16 * static_cast<double>(attributes.tokens) : work.bytes;
    double arithmetic = roofline;
    if (const std::optional<HostWork> shape = host_work(kernel, attributes)) arithmetic = host_seconds(*shape, type, device).value_or(roofline);
    return device.kernel_launch_seconds + std::max(arithmetic, work.bytes / host_streaming_rate(footprint, device)) / cores;
}

} // namespace

double kernel_seconds(Kernel kernel, const kernel::Attributes& attributes, DType type, const cluster::DeviceSpec& device,
                      double cores, const cluster::Software& software) {
    const kernel::Work work = kernel::work(kernel, attributes, type);
    const double matrix = matrix_seconds(kernel, attributes, type, work, device, software);
    const double vector = per(work.flops - work.matrix_flops, device.vector_flops);
    const double memory = per(bytes_moved(kernel, attributes, type, software, work.bytes),
                              device.memory_bytes_per_second * memory_efficiency(kernel, device, software));
    if (device.is_cpu) return host_kernel_seconds(kernel, attributes, type, work, matrix + vector, device, cores);
    return device.kernel_launch_seconds + std::max({matrix, vector, memory}) / cores; // tensor cores run beside the others
}

} // namespace zerosim::cost
