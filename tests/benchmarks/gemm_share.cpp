// GPT-2 124M's step on the host, kernel by kernel: the list of products timed alone, and what stands beside it.
// usage: benchmark_gemm_share [threads = 2] [tokens = 1024] [repeats = 5] [fp32 | bf16 | fp16]
// "share" is the rate of the products' FLOPs over the time of all kernels, against the rate of the products alone: what a step
// without executor, copies or communication would reach. The optimizer is benchmark_adamw's.
#include "device/host_kernels/host_kernels.hpp"
#include "device/workers.hpp"
#include "kernel/work.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

using namespace zerosim;
using namespace zerosim::device;
using kernel::Attributes;
using kernel::Kernel;

// GPT-2 124M: Radford et al. 2019, https://huggingface.co/openai-community/gpt2/blob/main/config.json
constexpr std::int64_t kLayers = 12, kHidden = 768, kHeads = 12, kFeedForward = 4 * kHidden, kVocabulary = 50257;

/// A kernel with how often a step runs it. Operands are made by shape alone: their values do not change the time.
struct Item {
    Kernel kernel;
    Attributes attributes;
    int count;
    std::string_view what;
};

/// Owns the operands: floats of a harmless size, integers zero.
class Memory {
public:
    TensorView tensor(DType type, std::int64_t rows, std::int64_t columns) {
        const std::int64_t bytes = rows * columns * size_of(type);
        blocks_.emplace_back(static_cast<std::size_t>(bytes / 4 + 16), type == DType::int32 ? 0.0f : 0.01f);
        return {blocks_.back().data(), rows, columns, columns, type};
    }

private:
    std::vector<std::vector<float>> blocks_;
};

Attributes linear(std::int64_t tokens, std::int64_t in, std::int64_t out) {
    Attributes a;
    a.tokens = tokens, a.in = in, a.out = out;
    return a;
}

std::vector<Item> products(std::int64_t tokens) {
    struct Layer {
        std::int64_t in, out;
        int count;
        std::string_view what;
    };
    std::vector<Item> items;
    for (const Layer& l : {Layer{kHidden, 3 * kHidden, kLayers, "qkv"}, Layer{kHidden, kHidden, kLayers, "output"},
                           Layer{kHidden, kFeedForward, kLayers, "up"}, Layer{kFeedForward, kHidden, kLayers, "down"},
                           Layer{kHidden, kVocabulary, 1, "head"}})
        for (Kernel k : {Kernel::linear_forward, Kernel::linear_backward_input, Kernel::linear_backward_weight})
            items.push_back({k, linear(tokens, l.in, l.out), l.count, l.what});
    return items;
}

std::vector<Item> others(std::int64_t tokens) {
    Attributes hidden = linear(tokens, kHidden, kHidden), wide = linear(tokens, kFeedForward, kFeedForward);
    hidden.batch = 1, hidden.sequence = static_cast<std::int32_t>(tokens), hidden.heads = hidden.kv_heads = kHeads;
    hidden.head_dim = kHidden / kHeads, hidden.epsilon = 1e-5f;
    Attributes loss = linear(tokens, kHidden, kVocabulary);
    loss.vocabulary = loss.real_vocabulary = kVocabulary, loss.loss_weight = 1.0 / static_cast<double>(tokens);
    return {{Kernel::attention_forward, hidden, kLayers, ""},
            {Kernel::attention_backward, hidden, kLayers, ""},
            {Kernel::layer_norm_forward, hidden, 2 * kLayers + 1, ""},
            {Kernel::layer_norm_backward, hidden, 2 * kLayers + 1, ""},
            {Kernel::gelu_forward, wide, kLayers, ""},
            {Kernel::gelu_backward, wide, kLayers, ""},
            {Kernel::add, hidden, 2 * kLayers, ""},
            {Kernel::cross_entropy_forward, loss, 1, ""},
            {Kernel::cross_entropy_backward, loss, 1, ""}};
}

/// The operands of a kernel by name, in the vocabulary's order. q, k and v lie side by side, as one projection writes them.
std::vector<TensorView> operands_of(Memory& memory, const Item& item, DType type, int threads) {
    const Attributes& a = item.attributes;
    const std::int64_t bytes = kernel::workspace_bytes(item.kernel, a, type, kernel::Library::host, threads);
    const bool product = kernel_class(item.kernel) == kernel::KernelClass::gemm;
    const auto qkv = [&](std::string_view name) {
        static constexpr std::string_view kOrder = "qkv";
        TensorView view = memory.tensor(type, a.tokens, 3 * kHidden);
        view.data =
            static_cast<std::byte*>(view.data) + static_cast<std::int64_t>(kOrder.find(name.back())) * kHidden * size_of(type);
        view.columns = kHidden;
        return view;
    };
    std::vector<TensorView> result;
    for (const kernel::OperandSpec& spec : kernel::operands(item.kernel)) {
        const std::string_view n = spec.name;
        if (n == "workspace")
            result.push_back(memory.tensor(DType::uint8, 1, bytes));
        else if (n == "loss_scale")
            result.push_back({});
        else if (n == "loss")
            result.push_back(memory.tensor(DType::fp64, 1, 1));
        else if (n == "targets")
            result.push_back(memory.tensor(DType::int32, 1, a.tokens));
        else if (n == "mean" || n == "rstd")
            result.push_back(memory.tensor(DType::fp32, 1, a.tokens));
        else if (n == "log_sum_exp")
            result.push_back(memory.tensor(DType::fp32, a.tokens, a.heads > 0 ? a.heads : 1));
        else if (n == "q" || n == "k" || n == "v" || n == "d_q" || n == "d_k" || n == "d_v")
            result.push_back(qkv(n));
        else if (n.ends_with("weight") && product)
            result.push_back(memory.tensor(type, a.out, a.in));
        else if (n.ends_with("weight") || n.ends_with("bias"))
            result.push_back(memory.tensor(type, 1, a.out));
        else if (product && n.ends_with("x"))
            result.push_back(memory.tensor(type, a.tokens, a.in));
        else
            result.push_back(memory.tensor(type, a.tokens, a.out));
    }
    return result;
}

double median_seconds(const Item& item, DType type, Workers& workers, int repeats) {
    Memory memory;
    const std::vector<TensorView> operands = operands_of(memory, item, type, workers.threads());
    const KernelCall call{item.kernel, item.attributes, operands, {}, {.workers = &workers}};
    host::run_kernel(call);
    std::vector<double> seconds;
    for (int i = 0; i < repeats; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        host::run_kernel(call);
        seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    std::nth_element(seconds.begin(), seconds.begin() + repeats / 2, seconds.end());
    return seconds[static_cast<std::size_t>(repeats / 2)];
}

struct Total {
    double seconds = 0, flops = 0;
};

Total time_all(const std::vector<Item>& items, DType type, Workers& workers, int repeats) {
    Total total;
    for (const Item& item : items) {
        const double seconds = median_seconds(item, type, workers, repeats);
        const kernel::Work work = kernel::work(item.kernel, item.attributes, type);
        fmt::print("{:<24}{:<8}{:>4} x {:>9.3f} ms {:>9.1f} GFLOP/s {:>8.1f} GB/s\n", kernel::name(item.kernel), item.what,
                   item.count, seconds * 1e3, work.flops / seconds / 1e9, work.bytes / seconds / 1e9);
        total.seconds += item.count * seconds;
        total.flops += item.count * work.matrix_flops;
    }
    return total;
}

} // namespace

int main(int argc, char** argv) {
    Workers workers(argc > 1 ? std::atoi(argv[1]) : 2);
    const std::int64_t tokens = argc > 2 ? std::atoll(argv[2]) : 1024;
    const int repeats = argc > 3 ? std::atoi(argv[3]) : 5;
    const std::string_view type_name = argc > 4 ? argv[4] : "fp32";
    const DType type = type_name == "bf16" ? DType::bf16 : type_name == "fp16" ? DType::fp16 : DType::fp32;
    const Total gemm = time_all(products(tokens), type, workers, repeats);
    const Total other = time_all(others(tokens), type, workers, repeats);
    fmt::print("products alone {:.3f} s = {:.1f} GFLOP/s; all other kernels {:.3f} s; share of the products' rate {:.1f} %\n",
               gemm.seconds, gemm.flops / gemm.seconds / 1e9, other.seconds, 100 * gemm.seconds / (gemm.seconds + other.seconds));
}
