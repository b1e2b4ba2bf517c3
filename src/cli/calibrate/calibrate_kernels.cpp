#include "cli/calibrate/kernel_bench.hpp"
#include "cli/machine.hpp"

#include <fmt/core.h>

namespace zerosim::cli {

void time_linear(Bench& bench, Resource resource, std::int64_t tokens, std::int64_t in, std::int64_t out, DType type) {
    Attributes attributes;
    attributes.tokens = tokens;
    attributes.in = in;
    attributes.out = out;
    Operands operands;
    operands.add(tokens, in, type);
    operands.add(out, in, type);
    operands.absent();
    bench.workspace(operands, Kernel::linear_forward, attributes, type);
    operands.add(tokens, out, type);
    bench.time_kernel(resource, fmt::format("linear {} x {} x {} {}", tokens, in, out, name(type)), Kernel::linear_forward,
                      attributes, operands, kernel::work(Kernel::linear_forward, attributes, type).matrix_flops, type);
}

void time_attention(Bench& bench, Resource resource, const AttentionCase& what, bool backward, DType type) {
    Attributes attributes;
    attributes.batch = what.batch;
    attributes.sequence = what.sequence;
    attributes.tokens = std::int64_t{what.batch} * what.sequence;
    attributes.heads = attributes.kv_heads = what.heads;
    attributes.head_dim = what.head_dim;
    const std::int64_t tokens = attributes.tokens, width = std::int64_t{what.heads} * what.head_dim;
    const Kernel kernel = backward ? Kernel::attention_backward : Kernel::attention_forward;
    const kernel::Work work = kernel::work(kernel, attributes, type);
    Operands operands;
    for (int i = 0; i < (backward ? 5 : 3); ++i) operands.add(tokens, width, type); // d_out, q, k, v, out | q, k, v
    if (backward) operands.add(tokens, what.heads, DType::fp32);                    // log_sum_exp
    bench.workspace(operands, kernel, attributes, type);
    for (int i = 0; i < (backward ? 3 : 1); ++i) operands.add(tokens, width, type); // d_q, d_k, d_v | out
    if (!backward) operands.add(tokens, what.heads, DType::fp32);
    const std::string name = fmt::format("attention {}, {} tokens, {} heads of {}{}", backward ? "backward" : "forward", tokens, what.heads,
                                         what.head_dim, type == DType::fp32 ? "" : " bf16");
    bench.time_kernel(resource, name, kernel, attributes, operands, work.matrix_flops, type);
    bench.samples.back().vector_work = work.flops - work.matrix_flops;
}

namespace {

/// Kernels that are neither GEMM nor pure traffic, on tensors that fit in a second-level cache.
void time_vector(Bench& bench) {
    Attributes attributes;
    attributes.tokens = 128;
    attributes.out = 768;
    attributes.epsilon = 1e-5f;
    attributes.vocabulary = attributes.real_vocabulary = 768;
    attributes.loss_weight = 1.0;
    const auto wide = [](Operands& operands, int count) {
        for (int i = 0; i < count; ++i) operands.add(128, 768, DType::fp32);
    };
    const auto time = [&](Kernel kernel, const Operands& operands) {
        bench.time_kernel(Resource::vector, fmt::format("{} 128 x 768", name(kernel)), kernel, attributes, operands,
                          kernel::work(kernel, attributes, DType::fp32).flops);
    };
    Operands gelu, gelu_backward, norm, loss;
    wide(gelu, 2);
    time(Kernel::gelu_forward, gelu);
    wide(gelu_backward, 3);
    time(Kernel::gelu_backward, gelu_backward);
    wide(norm, 1);
    for (int i = 0; i < 2; ++i) norm.add(1, 768, DType::fp32); // weight, bias
    wide(norm, 1);
    for (int i = 0; i < 2; ++i) norm.add(1, 128, DType::fp32); // mean, rstd
    time(Kernel::layer_norm_forward, norm);
    wide(loss, 1);
    loss.add(1, 128, DType::int32); // targets: all 0
    loss.add(1, 128, DType::fp32);
    loss.add(1, 1, DType::fp64);
    time(Kernel::cross_entropy_forward, loss);
}

void time_memory(Bench& bench) {
    constexpr std::int64_t kRows = 1024, kColumns = 8192; // 32 MiB a tensor
    Operands operands;
    for (int i = 0; i < 3; ++i) operands.add(kRows, kColumns, DType::fp32);
    const auto views = operands.views();
    const double bytes = static_cast<double>(kRows * kColumns * 4);
    bench.time(Resource::memory, "copy of 32 MiB", 2 * bytes,
               [&] { device::host::copy(&bench.workers(), views[0], views[1], false); });
    Attributes attributes;
    attributes.tokens = kRows;
    attributes.out = kColumns;
    bench.time_kernel(Resource::memory, "sum of two tensors of 32 MiB", Kernel::add, attributes, operands, 3 * bytes);
}

/// A residual's sum within a core's own cache.
void time_cached(Bench& bench) {
    const std::int64_t columns = own_cache() / (2 * 3 * 4 * 64); // three tensors of 64 rows in half of it
    if (columns < 1) return;
    Operands operands;
    for (int i = 0; i < 3; ++i) operands.add(64, columns, DType::fp32);
    Attributes attributes;
    attributes.tokens = 64;
    attributes.out = columns;
    bench.time_kernel(Resource::cached_memory, fmt::format("sum of two tensors of {} KiB", 64 * columns * 4 / 1024), Kernel::add, attributes, operands,
                      3.0 * 4.0 * 64.0 * static_cast<double>(columns));
}

void time_overhead(Bench& bench) {
    Operands operands;
    for (int i = 0; i < 3; ++i) operands.add(1, 16, DType::fp32);
    Attributes attributes;
    attributes.tokens = 1;
    attributes.out = 16;
    bench.time_kernel(Resource::overhead, "add of 16 elements", Kernel::add, attributes, operands, 0);
}

} // namespace

std::vector<KernelSample> measure_kernels(TeamRank& rank, int threads, int repeats) {
    // Shapes of GPT-2 124M's and gpt-mini's layers (configs/models): attention output, feed-forward up and down, a small model's.
    constexpr std::int64_t shapes[][3] = {{1024, 768, 768}, {512, 768, 3072}, {512, 3072, 768}, {512, 192, 768}};
    Bench bench(rank, threads, repeats);
    for (const auto& [tokens, in, out] : shapes) time_linear(bench, Resource::gemm_fp32, tokens, in, out, DType::fp32);
    time_linear(bench, Resource::gemm_bf16, 512, 768, 768, DType::bf16);
    time_linear(bench, Resource::gemm_fp16, 512, 768, 768, DType::fp16);
    for (const bool backward : {false, true}) time_attention(bench, Resource::attention, {1, 512, 12, 64}, backward, DType::fp32);
    time_vector(bench);
    time_memory(bench);
    time_cached(bench);
    time_overhead(bench);
    time_paces(bench);
    return std::move(bench.samples);
}

} // namespace zerosim::cli
