#include "cli/calibrate/gpu_kernels.hpp"

#include "base/error.hpp"
#include "base/rng.hpp"
#include "base/units.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::cli {
namespace {

using kernel::Attributes;
using kernel::Kernel;

// GPT-2 124M (huggingface.co/openai-community/gpt2, config.json) at 16 x 1024 tokens, vocabulary padded to a multiple of 128 as in llm.c.
constexpr std::int64_t kBatch = 16, kSequence = 1024, kHidden = 768, kHeads = 12, kVocabulary = 50304, kRealVocabulary = 50257, kParameters = 124'475'904;
constexpr std::int64_t kSquare = 8192;           // a product that nothing but the arithmetic bounds

class Cases {
public:
    Cases(std::int64_t shrink, kernel::Library library) : shrink_(shrink), library_(library) {}

    /// One of the three products of a linear layer.
    void linear(Kernel kernel, std::int64_t tokens, std::int64_t in, std::int64_t out, DType type, bool bias, bool fits = true) {
        Attributes a;
        a.tokens = small(tokens);
        a.in = small(in);
        a.out = small(out);
        const Operand x{a.tokens, a.in, type}, w{a.out, a.in, type}, y{a.tokens, a.out, type}, b{1, a.out, type, !bias}, room = workspace(kernel, a, type);
        std::vector<Operand> operands = kernel == Kernel::linear_forward          ? std::vector{x, w, b, room, y}
                                        : kernel == Kernel::linear_backward_input ? std::vector{y, w, room, x}
                                                                                  : std::vector{y, x, room, w, b};
        add(fmt::format("{} x {} x {}{}", a.tokens, a.in, a.out, bias ? " bias" : ""), kernel, a, type, std::move(operands)).fits = fits;
    }
    void layer(std::int64_t in, std::int64_t out, bool bias) {
        for (const Kernel kernel : {Kernel::linear_forward, Kernel::linear_backward_input, Kernel::linear_backward_weight})
            linear(kernel, kBatch * kSequence, in, out, DType::bf16, bias && kernel != Kernel::linear_backward_input);
    }
    void attention(std::int64_t batch, std::int64_t sequence, std::int64_t heads, std::int64_t head_dim) {
        Attributes a;
        a.batch = static_cast<std::int32_t>(std::max<std::int64_t>(1, batch / shrink_));
        a.sequence = static_cast<std::int32_t>(small(sequence));
        a.tokens = std::int64_t{a.batch} * a.sequence;
        a.heads = a.kv_heads = static_cast<std::int32_t>(heads);
        a.head_dim = static_cast<std::int32_t>(head_dim);
        const DType type = DType::bf16;
        const Operand wide{a.tokens, heads * head_dim, type}, sums{a.tokens, heads, DType::fp32};
        const std::string what = fmt::format("{} x {}, {} heads of {}", a.batch, a.sequence, heads, head_dim);
        add(what, Kernel::attention_forward, a, type, {wide, wide, wide, workspace(Kernel::attention_forward, a, type), wide, sums});
        add(what, Kernel::attention_backward, a, type, {wide, wide, wide, wide, wide, sums, workspace(Kernel::attention_backward, a, type), wide, wide, wide});
    }
    void streaming() {
        const DType type = DType::bf16;
        Attributes a;
        a.tokens = small(kBatch * kSequence);
        a.out = small(kHidden);
        a.epsilon = 1e-5f;
        const Operand wide{a.tokens, a.out, type}, vector{1, a.out, type}, statistic{a.tokens, 1, DType::fp32};
        const std::string shape = fmt::format("{} x {}", a.tokens, a.out);
        add(shape, Kernel::layer_norm_forward, a, type, {wide, vector, vector, wide, statistic, statistic});
        add(shape, Kernel::layer_norm_backward, a, type, {wide, wide, vector, statistic, statistic, wide, vector, vector});
        add(shape, Kernel::add, a, type, {wide, wide, wide});
        Attributes up = a;
        up.out = 4 * a.out;
        const Operand wider{up.tokens, up.out, type};
        add(fmt::format("{} x {}", up.tokens, up.out), Kernel::gelu_forward, up, type, {wider, wider});
        add(fmt::format("{} x {}", up.tokens, up.out), Kernel::gelu_backward, up, type, {wider, wider, wider});
    }
    void vocabulary() {
        const DType type = DType::bf16;
        Attributes a;
        a.batch = static_cast<std::int32_t>(kBatch);
        a.sequence = static_cast<std::int32_t>(small(kSequence));
        a.tokens = kBatch * a.sequence;
        a.out = small(kHidden);
        a.vocabulary = small(kVocabulary);
        a.real_vocabulary = std::min(kRealVocabulary, a.vocabulary);
        a.loss_weight = 1.0 / static_cast<double>(a.tokens);
        const Operand tokens{a.tokens, 1, DType::int32}, table{a.vocabulary, a.out, type}, positions{a.sequence, a.out, type}, wide{a.tokens, a.out, type};
        const Operand logits{a.tokens, a.vocabulary, type}, sums{a.tokens, 1, DType::fp32}, one{1, 1, DType::fp32}, loss{1, 1, DType::fp64};
        const std::string shape = fmt::format("{} x {}, vocabulary {}", a.tokens, a.out, a.vocabulary);
        add(shape, Kernel::embedding_forward, a, type, {tokens, table, positions, wide}).fits = false;
        Attributes adds = a;
        adds.accumulate = adds.accumulate_second = true;   // behind the tied head's gradient
        add(shape, Kernel::embedding_backward, adds, type, {tokens, wide, table, positions}).fits = false;
        add(fmt::format("{} x {}", a.tokens, a.vocabulary), Kernel::cross_entropy_forward, a, type, {logits, tokens, sums, loss});
        add(fmt::format("{} x {}", a.tokens, a.vocabulary), Kernel::cross_entropy_backward, a, type, {logits, tokens, sums, one, logits});
    }
    void optimizer() {
        Attributes a;
        a.tokens = small(kParameters);
        a.learning_rate = 1e-4f, a.beta1 = 0.9f, a.beta2 = 0.95f, a.epsilon = 1e-8f, a.weight_decay = 0.1f;
        const Operand narrow{1, a.tokens, DType::bf16}, full{1, a.tokens, DType::fp32}, one{1, 1, DType::fp32};
        GpuKernelCase& update = add(fmt::format("{} parameters, fp32 master", a.tokens), Kernel::adamw, a, DType::bf16, {narrow, full, full, full, narrow, one, one, one});
        update.shard = a.tokens;
        GpuKernelCase& plain = add(fmt::format("{} parameters", a.tokens), Kernel::adamw, a, DType::fp32, {full, {0, 0, DType::fp32, true}, full, full, full, one, one, one});
        plain.shard = a.tokens;
        GpuKernelCase& norm = add(fmt::format("{} gradients", a.tokens), Kernel::squared_norm, a, DType::bf16, {narrow, {1, kernel::kNormBins, DType::fp64}});
        norm.shard = a.tokens;
        norm.fits = false;
    }
    std::vector<GpuKernelCase> list;

private:
    using Operand = GpuKernelCase::Operand;
    /// Kept a multiple of 16, as the shapes are.
    [[nodiscard]] std::int64_t small(std::int64_t size) const { return shrink_ == 1 ? size : std::max<std::int64_t>(16, size / shrink_ / 16 * 16); }
    [[nodiscard]] Operand workspace(Kernel kernel, const Attributes& a, DType type) const {
        const std::int64_t bytes = kernel::workspace_bytes(kernel, a, type, library_, 1);
        return {1, bytes / 4, DType::fp32, bytes == 0};
    }
    GpuKernelCase& add(const std::string& shape, Kernel kernel, const Attributes& a, DType type, std::vector<Operand> operands) {
        GpuKernelCase& result = list.emplace_back();
        result.what = fmt::format("{} {} {}", kernel::name(kernel), shape, name(type));
        result.kernel = kernel;
        result.attributes = a;
        result.type = type;
        result.operands = std::move(operands);
        return result;
    }
    std::int64_t shrink_;
    kernel::Library library_;
};

/// Random: constants would toggle fewer bits, draw less power and run at a higher clock than training does. Positive for shards, whose second
/// moments are.
std::vector<std::byte> random_block(DType type, std::int64_t elements, bool positive, std::int64_t limit) {
    std::vector<std::byte> bytes(static_cast<std::size_t>(elements * size_of(type)));
    for (std::int64_t i = 0; i < elements; ++i) {
        const std::uint64_t hash = hash64(7, static_cast<std::uint64_t>(i));
        const double unit = unit_double(hash), value = positive ? 0.1 * unit : 0.2 * unit - 0.1;
        const auto put = [&](auto typed) { std::copy_n(reinterpret_cast<const std::byte*>(&typed), sizeof typed, bytes.data() + i * static_cast<std::int64_t>(sizeof typed)); };
        switch (type) {
            case DType::fp32: put(static_cast<float>(value)); break;
            case DType::bf16: put(float_to_bf16(static_cast<float>(value))); break;
            case DType::fp16: put(float_to_fp16(static_cast<float>(value))); break;
            case DType::int32: put(static_cast<std::int32_t>(hash % static_cast<std::uint64_t>(std::max<std::int64_t>(1, limit)))); break;
            default: break;                      // zeros
        }
    }
    return bytes;
}

void fill(device::StreamDevice& device, const DeviceBuffer& buffer, DType type, bool positive, std::int64_t limit) {
    constexpr std::int64_t kBlock = 1 << 20;
    const std::int64_t elements = buffer.bytes() / size_of(type);
    const std::vector<std::byte> block = random_block(type, std::min(elements, kBlock), positive, limit);
    for (std::int64_t at = 0; at < buffer.bytes(); at += static_cast<std::int64_t>(block.size()))
        device.upload(block.data(), buffer.data() + at, std::min(static_cast<std::int64_t>(block.size()), buffer.bytes() - at));
}

}  // namespace

std::vector<GpuKernelCase> gpu_kernel_cases(std::int64_t shrink, kernel::Library library) {
    Cases cases(shrink, library);
    cases.linear(Kernel::linear_forward, kSquare, kSquare, kSquare, DType::bf16, false);
    cases.layer(kHidden, 3 * kHidden, true);
    cases.layer(kHidden, kHidden, true);
    cases.layer(kHidden, 4 * kHidden, true);
    cases.layer(4 * kHidden, kHidden, true);
    cases.layer(kHidden, kVocabulary, false);
    cases.linear(Kernel::linear_backward_weight, kBatch * kSequence, kHidden, 4 * kHidden, DType::bf16, false, false);   // without a bias: what its gradient costs beside the product
    cases.linear(Kernel::linear_forward, kBatch * kSequence, kHidden, 4 * kHidden, DType::fp16, true);
    cases.linear(Kernel::linear_forward, kBatch * kSequence, kHidden, 4 * kHidden, DType::fp32, true);
    cases.linear(Kernel::linear_forward, kSquare / 2, kSquare / 2, kSquare / 2, DType::fp32, false);
    cases.attention(kBatch, kSequence, kHeads, 64);
    cases.attention(4, 4 * kSequence, 16, 128);
    cases.streaming();
    cases.vocabulary();
    cases.optimizer();
    return std::move(cases.list);
}

std::int64_t operand_bytes(const GpuKernelCase& what) {
    std::int64_t bytes = 0;
    for (const GpuKernelCase::Operand& operand : what.operands) bytes += operand.absent ? 0 : operand.rows * operand.columns * size_of(operand.dtype);
    return bytes;
}

std::int64_t shrink_for(std::int64_t bytes) {
    for (std::int64_t shrink = 1; shrink <= kParameters; shrink *= 2)
        if (std::ranges::all_of(gpu_kernel_cases(shrink), [bytes](const GpuKernelCase& what) { return operand_bytes(what) <= bytes; })) return shrink;
    throw EnvironmentError(fmt::format("calibrate: no kernel can be timed in {}: the GPU has next to no memory left", format_bytes(static_cast<double>(bytes))));
}

GpuKernelSample measure_gpu_kernel(StreamBench& bench, const GpuKernelCase& what, int batches) {
    std::vector<DeviceBuffer> buffers;
    std::vector<device::TensorView> views;
    const std::int64_t limit = what.attributes.real_vocabulary > 0 ? what.attributes.real_vocabulary : what.attributes.vocabulary;
    for (const GpuKernelCase::Operand& operand : what.operands) {
        device::TensorView& view = views.emplace_back();
        if (operand.absent) continue;
        const DeviceBuffer& buffer = buffers.emplace_back(bench.device(), operand.rows * operand.columns * size_of(operand.dtype));
        view = {buffer.data(), operand.rows, operand.columns, operand.columns, operand.dtype};
        // One-element operands of a shard: clip factor, skip, step. Zero does not skip, and the update of a zero gradient moves as many bytes.
        const bool scalar = what.shard > 0 && operand.rows * operand.columns == 1;
        if (scalar) bench.device().fill(view, &operand == &what.operands.back() ? 1.0 : 0.0);
        else fill(bench.device(), buffer, operand.dtype, what.shard > 0, limit);
    }
    std::vector<device::RangeSegment> range;
    if (what.shard > 0) range.push_back({0, what.shard, true});
    const device::KernelCall call{what.kernel, what.attributes, views, range, {}, {}};
    const Timing seconds = bench.time(batches, [&] { bench.device().launch(call); });
    return {what, seconds, kernel::work(what.kernel, what.attributes, what.type)};
}

}  // namespace zerosim::cli
