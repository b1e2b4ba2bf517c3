// Products: OpenBLAS packs both factors and writes the result beside its arithmetic (Goto, van de Geijn, "Anatomy of High-Performance
// Matrix Multiplication", ACM TOMS 34(3), 2008), which shows where depth or width is small; 2-byte operands are also converted.
// Attention: tiles of scores are computed whole, and every score of a tile is scaled, masked, exponentiated and summed
// (device/host_kernels/attention_forward.cpp). Rows of norms and losses end in reductions across lanes, divisions and roots.
#include "cost/host_kernel_cost.hpp"

#include "kernel/host_blocking.hpp"

#include <algorithm>

namespace zerosim::cost {
namespace {

using cluster::HostKernel;
using kernel::Attributes;
using kernel::Kernel;

double real(std::int64_t value) { return static_cast<double>(value); }

/// (query, key) pairs of the tiles that a head computes, all sequences: each tile of queries against the keys up to its last one.
double tile_pairs(const Attributes& a) {
    const std::int64_t tile = kernel::host_blocking::query_tile(a);
    double pairs = 0;
    for (std::int64_t first = 0; first < a.sequence; first += tile) {
        const std::int64_t count = std::min<std::int64_t>(tile, a.sequence - first);
        pairs += real(count) * real(first + count);
    }
    return pairs * real(a.batch);
}

/// Forward two products of 2 d FLOPs a pair, backward five (kernel/work).
HostWork attention(const Attributes& a, bool backward) {
    const double pairs = tile_pairs(a) * real(a.heads);
    return {backward ? HostKernel::attention_backward : HostKernel::attention_forward, (backward ? 10 : 4) * real(a.head_dim) * pairs, pairs, 0};
}

HostWork product(const Attributes& a, bool adds) {
    const double tokens = real(a.tokens), in = real(a.in), out = real(a.out), operands = tokens * in + in * out + tokens * out;
    return {HostKernel::product, 2 * tokens * in * out, operands + (adds ? in * out : 0.0), 0};
}

/// An eager framework's kernels take what the fused ones of the same function take.
std::optional<HostWork> eager(const Attributes& a) {
    using enum kernel::EagerOperation;
    const double rows = real(a.tokens), elements = rows * real(a.out);
    switch (a.operation) {
        case gelu:
        case tanh: return HostWork{HostKernel::gelu_forward, 0, elements, 0};
        case gelu_backward: return HostWork{HostKernel::gelu_backward, 0, elements, 0};
        case silu: return HostWork{HostKernel::swiglu_forward, 0, elements, 0};
        case silu_backward: return HostWork{HostKernel::swiglu_backward, 0, elements, 0};
        case log_softmax: return HostWork{HostKernel::cross_entropy_forward, 0, elements, rows};
        case log_softmax_backward: return HostWork{HostKernel::cross_entropy_backward, 0, elements, rows};
        default: return std::nullopt;
    }
}

} // namespace

std::optional<HostWork> host_work(Kernel kernel, const Attributes& a) {
    const double rows = real(a.tokens), width = rows * real(a.out), logits = rows * real(a.vocabulary);
    switch (kernel) {
        case Kernel::linear_forward:
        case Kernel::linear_backward_input: return product(a, false);
        case Kernel::linear_backward_weight: return product(a, a.accumulate);
        case Kernel::attention_forward: return attention(a, false);
        case Kernel::attention_backward: return attention(a, true);
        case Kernel::gelu_forward: return HostWork{HostKernel::gelu_forward, 0, width, 0};
        case Kernel::gelu_backward: return HostWork{HostKernel::gelu_backward, 0, width, 0};
        case Kernel::swiglu_forward: return HostWork{HostKernel::swiglu_forward, 0, width, 0};
        case Kernel::swiglu_backward: return HostWork{HostKernel::swiglu_backward, 0, width, 0};
        case Kernel::layer_norm_forward: return HostWork{HostKernel::layer_norm_forward, 0, width, rows};
        case Kernel::layer_norm_backward: return HostWork{HostKernel::layer_norm_backward, 0, width, rows};
        case Kernel::rms_norm_forward: return HostWork{HostKernel::rms_norm_forward, 0, width, rows};
        case Kernel::rms_norm_backward: return HostWork{HostKernel::rms_norm_backward, 0, width, rows};
        case Kernel::cross_entropy_forward: return HostWork{HostKernel::cross_entropy_forward, 0, logits, rows};
        case Kernel::cross_entropy_backward: return HostWork{HostKernel::cross_entropy_backward, 0, logits, rows};
        case Kernel::embedding_forward: return HostWork{HostKernel::embedding_forward, 0, width, rows};
        case Kernel::embedding_backward: return HostWork{HostKernel::embedding_backward, 0, width, rows};
        case Kernel::squared_norm: return HostWork{HostKernel::squared_norm, 0, rows, 0};
        case Kernel::elementwise: return eager(a);
        default: return std::nullopt;
    }
}

std::optional<double> host_seconds(const HostWork& work, DType type, const cluster::DeviceSpec& device) {
    const cluster::Pace& pace = device.host_kernels.pace(work.kernel, size_of(type) == 2);
    if (!pace.known()) return std::nullopt;
    const double peak = type == DType::bf16 ? device.bf16_flops : type == DType::fp16 ? device.fp16_flops : device.fp32_flops;
    const double products = work.matrix_flops > 0 ? work.matrix_flops / (peak * device.gemm_efficiency) : 0.0;
    return products + work.elements * pace.element_seconds + work.rows * pace.row_seconds;
}

double host_streaming_rate(double bytes, const cluster::DeviceSpec& device) {
    const cluster::HostKernels& host = device.host_kernels;
    const bool cached = host.cached_bytes_per_second > 0 && bytes <= real(host.cache_bytes);
    return cached ? host.cached_bytes_per_second : device.memory_bytes_per_second * device.memory_efficiency;
}

} // namespace zerosim::cost
