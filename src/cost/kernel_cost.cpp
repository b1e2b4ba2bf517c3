// The roofline (Williams, Waterman, Patterson, CACM 52(4), 2009): a kernel takes as long as its scarcest resource.
#include "cost/cost.hpp"
#include "kernel/work.hpp"

#include <algorithm>

namespace zerosim::cost {
namespace {

// GEMMs of fp32 operands run in fp32, as PyTorch's default has it (torch.backends.cuda.matmul.allow_tf32 = False since 1.12).
double matrix_peak(const cluster::DeviceSpec& device, DType type) {
    switch (type) {
        case DType::bf16: return device.bf16_flops;
        case DType::fp16: return device.fp16_flops;
        default: return device.fp32_flops;
    }
}

double per(double work, double rate) { return rate > 0 ? work / rate : 0.0; }

} // namespace

double kernel_seconds(kernel::Kernel kernel, const kernel::Attributes& attributes, DType type, const cluster::DeviceSpec& device,
                      double cores) {
    const kernel::Work work = kernel::work(kernel, attributes, type);
    const bool attention = kernel::kernel_class(kernel) == kernel::KernelClass::attention;
    const double efficiency = attention ? device.attention_efficiency : device.gemm_efficiency;
    const double matrix = per(work.matrix_flops, matrix_peak(device, type) * efficiency);
    const double vector = per(work.flops - work.matrix_flops, device.vector_flops);
    const double memory = per(work.bytes, device.memory_bytes_per_second * device.memory_efficiency);
    // On a CPU the same core does matrix and vector arithmetic, one after the other; a GPU's tensor cores run beside the others.
    const double arithmetic = device.is_cpu ? matrix + vector : std::max(matrix, vector);
    return device.kernel_launch_seconds + std::max(arithmetic, memory) / cores;
}

} // namespace zerosim::cost
