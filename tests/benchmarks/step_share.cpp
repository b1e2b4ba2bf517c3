// GPT-2 124M, one rank: GEMM FLOPs of a whole training step over its time, against the rate of the same list of sgemm calls alone,
// made straight to the BLAS with as many threads. Tracing on and off.
// usage: benchmark_step_share [threads = 2] [fp32 | bf16-mixed] [steps = 3]
#include "exec/host_rank.hpp"
#include "kernel/work.hpp"
#include "strategy/plan.hpp"

#include <cblas.h>
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <vector>

extern "C" void openblas_set_num_threads(int);

using namespace zerosim;

namespace {

strategy::Scenario gpt2_124m(int threads, bool mixed, int steps) {
    strategy::Scenario s;   // shape: https://huggingface.co/openai-community/gpt2/blob/main/config.json
    auto& m = s.model;
    m.family = model::Family::gpt2;
    m.layers = 12, m.hidden = 768, m.heads = m.kv_heads = 12, m.head_dim = 64, m.feed_forward = 3072;
    m.vocabulary = m.real_vocabulary = 50257, m.positions = 1024, m.tied = m.qkv_bias = m.output_bias = m.mlp_bias = true;
    s.training.sequence_length = 1024;
    s.training.steps = steps;
    s.training.precision = mixed ? strategy::Precision::bf16_mixed : strategy::Precision::fp32;
    s.compute_threads = threads;
    return s;
}

struct Product {
    kernel::Kernel kernel;
    std::int64_t tokens, in, out;
};

std::vector<Product> products_of(const schedule::Program& program) {
    std::vector<Product> list;
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) {
        const auto& op = program.ops[i];
        if (op.kind != schedule::OpKind::compute || kernel::kernel_class(op.kernel) != kernel::KernelClass::gemm) continue;
        const auto& a = program.attributes_of(op);
        list.push_back({op.kernel, a.tokens, a.in, a.out});
    }
    return list;
}

double flops_of(const std::vector<Product>& list) {
    double flops = 0;
    for (const Product& p : list) flops += 2.0 * static_cast<double>(p.tokens * p.in) * static_cast<double>(p.out);
    return flops;
}

/// Seconds of the list, straight to the BLAS.
double raw_seconds(const std::vector<Product>& list, int threads) {
    std::int64_t x = 0, y = 0, w = 0;
    for (const Product& p : list) x = std::max(x, p.tokens * p.in), y = std::max(y, p.tokens * p.out), w = std::max(w, p.in * p.out);
    std::vector<float> xs(static_cast<std::size_t>(x), 0.01f), ys(static_cast<std::size_t>(y), 0.01f), ws(static_cast<std::size_t>(w), 0.01f);
    openblas_set_num_threads(threads);
    const auto begin = std::chrono::steady_clock::now();
    for (const Product& p : list) {
        const auto t = static_cast<blasint>(p.tokens), i = static_cast<blasint>(p.in), o = static_cast<blasint>(p.out);
        if (p.kernel == kernel::Kernel::linear_forward) cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, t, o, i, 1, xs.data(), i, ws.data(), i, 0, ys.data(), o);
        else if (p.kernel == kernel::Kernel::linear_backward_input) cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t, i, o, 1, ys.data(), o, ws.data(), i, 0, xs.data(), i);
        else cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, o, i, t, 1, ys.data(), o, xs.data(), i, 0, ws.data(), i);
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    openblas_set_num_threads(1);   // as the kernels want it
    return seconds;
}

double median(std::vector<double> values) {
    std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
    return values[values.size() / 2];
}

std::vector<double> step_seconds(const strategy::Scenario& s, const schedule::Schedule& schedule, bool trace) {
    exec::ExecuteOptions options;
    options.steps = static_cast<int>(s.training.steps) + 1;
    options.trace = trace;
    for (const auto& p : model::parameters(s.model)) options.initial.starts.push_back(static_cast<data::Start>(p.initial));
    options.step_shape = {1, 1024};
    std::vector<comm::Progress> progress(1);
    const auto ranks = exec::run_local(schedule, {s.compute_threads, true, "chain", 50257}, options, progress);
    std::vector<double> seconds;
    for (std::size_t i = 1; i < ranks[0].steps.size(); ++i) seconds.push_back(ranks[0].steps[i].seconds);
    return seconds;
}

}  // namespace

int main(int argc, char** argv) {
    const int threads = argc > 1 ? std::atoi(argv[1]) : 2;
    const bool mixed = argc > 2 && std::string_view(argv[2]) == "bf16-mixed";
    const auto s = gpt2_124m(threads, mixed, argc > 3 ? std::atoi(argv[3]) : 3);
    const auto schedule = strategy::plan(s);
    const auto list = products_of(schedule.programs[0]);
    const double flops = flops_of(list);
    std::vector<double> raw, traced, untraced;
    // Interleaved, so that a drifting machine drifts for all; and each in turn first, for the second run of a pair finds its pages warm.
    for (int round = 0; round < 4; ++round) {
        raw.push_back(raw_seconds(list, threads));
        for (const bool trace : {round % 2 == 0, round % 2 != 0})
            for (const double t : step_seconds(s, schedule, trace)) (trace ? traced : untraced).push_back(t);
    }
    const double alone = flops / median(raw), step = median(traced);
    fmt::print("GPT-2 124M, {}, 1 x 1024 tokens, {} threads, {} products, {:.1f} GFLOP a step\n", mixed ? "bf16-mixed" : "fp32", threads, list.size(), flops / 1e9);
    fmt::print("sgemm list alone      {:8.1f} GFLOP/s ({:.3f} s)\n", alone / 1e9, median(raw));
    fmt::print("whole step            {:8.1f} GFLOP/s ({:.3f} s)   share {:.1f} %\n", flops / step / 1e9, step, 100 * flops / step / alone);
    const double with = std::ranges::min(traced), without = std::ranges::min(untraced);   // the least disturbed step of each
    fmt::print("tracing on / off      {:.3f} s / {:.3f} s   {:+.2f} %\n", with, without, 100 * (with / without - 1));
}
