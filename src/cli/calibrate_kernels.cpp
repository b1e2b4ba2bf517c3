#include "cli/calibrate_kernels.hpp"

#include "cli/collective_benchmark.hpp"
#include "device/host_kernels/copy.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/workers.hpp"
#include "kernel/work.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>

namespace zerosim::cli {
namespace {

using device::TensorView;
using kernel::Attributes;
using kernel::Kernel;

/// Operands of one kernel call, allocated and filled with small numbers.
class Operands {
public:
    void add(std::int64_t rows, std::int64_t columns, DType type) {
        auto& buffer = buffers_.emplace_back(static_cast<std::size_t>(rows * columns * size_of(type)));
        TensorView view{buffer.data(), rows, columns, columns, type};
        if (type != DType::int32) device::host::fill(nullptr, view, 0.5);
        views_.push_back(view);
    }
    void absent() { views_.push_back({}); }
    [[nodiscard]] std::span<const TensorView> views() const { return views_; }

private:
    std::vector<std::vector<std::byte>> buffers_;
    std::vector<TensorView> views_;
};

/// Times work on all ranks at once.
class Bench {
public:
    Bench(TeamRank& rank, int threads, int repeats) : rank_(rank), workers_(threads), threads_(threads), repeats_(repeats) {}

    void time(Resource resource, std::string what, double work, const std::function<void()>& once) {
        using Clock = std::chrono::steady_clock;
        constexpr double kLongEnough = 1e-3; // of one sample: three orders above the clock's own cost and a barrier's skew
        const auto seconds_of = [&](int calls) {
            rank_.barrier();
            const auto begin = Clock::now();
            for (int i = 0; i < calls; ++i) once();
            return std::chrono::duration<double>(Clock::now() - begin).count() / calls;
        };
        (void)seconds_of(1);
        const std::vector<double> first = rank_.gather({seconds_of(1)}); // the same count on every rank
        const double typical = *std::max_element(first.begin(), first.end());
        const int calls = std::clamp(static_cast<int>(kLongEnough / std::max(typical, 1e-9)), 1, 100'000);
        std::vector<double> mine;
        for (int i = 0; i < repeats_; ++i) mine.push_back(seconds_of(calls));
        const std::vector<double> all = rank_.gather(mine);
        samples.push_back({resource, std::move(what), work, 0, percentile(all, 0.5), percentile(all, 0.1), percentile(all, 0.9)});
    }

    void time_kernel(Resource resource, std::string what, Kernel kernel, const Attributes& attributes, const Operands& operands,
                     double work) {
        const device::KernelCall call{kernel, attributes, operands.views(), {}, {0, 1, 0, &workers_}};
        time(resource, std::move(what), work, [&] { device::host::run_kernel(call); });
    }

    void workspace(Operands& operands, Kernel kernel, const Attributes& attributes, DType type) const {
        const std::int64_t bytes = kernel::workspace_bytes(kernel, attributes, type, kernel::Library::host, threads_);
        if (bytes > 0)
            operands.add(1, bytes / 4, DType::fp32);
        else
            operands.absent();
    }

    device::Workers& workers() { return workers_; }
    std::vector<KernelSample> samples;

private:
    TeamRank& rank_;
    device::Workers workers_;
    int threads_, repeats_;
};

void time_linear(Bench& bench, std::int64_t tokens, std::int64_t in, std::int64_t out, DType type) {
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
    const Resource resource = type == DType::fp32   ? Resource::gemm_fp32
                              : type == DType::bf16 ? Resource::gemm_bf16
                                                    : Resource::gemm_fp16;
    bench.time_kernel(resource, fmt::format("linear {} x {} x {} {}", tokens, in, out, name(type)), Kernel::linear_forward,
                      attributes, operands, kernel::work(Kernel::linear_forward, attributes, type).matrix_flops);
}

void time_attention(Bench& bench, bool backward) {
    Attributes attributes;
    attributes.batch = 1;
    attributes.sequence = 512;
    attributes.tokens = 512;
    attributes.heads = attributes.kv_heads = 12;
    attributes.head_dim = 64;
    const std::int64_t width = 12 * 64;
    const Kernel kernel = backward ? Kernel::attention_backward : Kernel::attention_forward;
    const kernel::Work work = kernel::work(kernel, attributes, DType::fp32);
    Operands operands;
    for (int i = 0; i < (backward ? 5 : 3); ++i) operands.add(512, width, DType::fp32); // d_out, q, k, v, out | q, k, v
    if (backward) operands.add(512, 12, DType::fp32);                                   // log_sum_exp
    bench.workspace(operands, kernel, attributes, DType::fp32);
    for (int i = 0; i < (backward ? 3 : 1); ++i) operands.add(512, width, DType::fp32); // d_q, d_k, d_v | out
    if (!backward) operands.add(512, 12, DType::fp32);
    bench.time_kernel(Resource::attention,
                      fmt::format("attention {}, 512 tokens, 12 heads of 64", backward ? "backward" : "forward"), kernel,
                      attributes, operands, work.matrix_flops);
    bench.samples.back().vector_work = work.flops - work.matrix_flops;
}

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
    for (const auto& [tokens, in, out] : shapes) time_linear(bench, tokens, in, out, DType::fp32);
    for (const DType type : {DType::bf16, DType::fp16}) time_linear(bench, 512, 768, 768, type);
    for (const bool backward : {false, true}) time_attention(bench, backward);
    time_vector(bench);
    time_memory(bench);
    time_overhead(bench);
    return std::move(bench.samples);
}

} // namespace zerosim::cli
