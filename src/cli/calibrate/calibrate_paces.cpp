// Kernels in small and odd shapes: where a rate of large ones says little. Shapes are those of gpt-micro, gpt-mini and GPT-2 124M
// (configs/models), some 512 tokens each.
#include "cli/calibrate/kernel_bench.hpp"

#include <fmt/core.h>

namespace zerosim::cli {
namespace {

struct Shape {
    std::int64_t rows, columns;
};
constexpr Shape kShapes[] = {{512, 64}, {256, 192}, {128, 768}};
constexpr std::int64_t kVocabularies[] = {128, 8192};

Attributes of_shape(const Shape& shape) {
    Attributes attributes;
    attributes.tokens = shape.rows;
    attributes.out = shape.columns;
    attributes.epsilon = 1e-5f;
    attributes.loss_weight = 1.0;
    attributes.batch = 1;
    attributes.sequence = static_cast<std::int32_t>(shape.rows);
    return attributes;
}

void time(Bench& bench, Kernel kernel, const Shape& shape, const Attributes& attributes, const Operands& operands, DType type) {
    bench.time_kernel(Resource::pace, fmt::format("{} {} x {} {}", name(kernel), shape.rows, shape.columns, name(type)), kernel, attributes, operands,
                      kernel::work(kernel, attributes, type).flops, type);
}

/// `wide` tensors of the whole shape.
void time_elementwise(Bench& bench, Kernel kernel, int wide, DType type) {
    constexpr Shape shape{512, 256};
    Operands operands;
    for (int i = 0; i < wide; ++i) operands.add(shape.rows, shape.columns, type);
    time(bench, kernel, shape, of_shape(shape), operands, type);
}

void time_norm(Bench& bench, const Shape& shape, bool centred, bool backward, DType type) {
    const Kernel kernel = centred ? (backward ? Kernel::layer_norm_backward : Kernel::layer_norm_forward)
                                  : (backward ? Kernel::rms_norm_backward : Kernel::rms_norm_forward);
    const int vectors = centred ? 2 : 1; // weight, bias; mean, rstd
    Operands operands;                   // d_y, x, weight, mean, rstd -> d_x, d_weight, d_bias | x, weight, bias -> y, mean, rstd
    for (int i = 0; i < (backward ? 2 : 1); ++i) operands.add(shape.rows, shape.columns, type);
    for (int i = 0; i < (backward ? 1 : vectors); ++i) operands.add(1, shape.columns, type);
    if (!backward) operands.add(shape.rows, shape.columns, type);
    for (int i = 0; i < vectors; ++i) operands.add(1, shape.rows, DType::fp32);
    if (backward) operands.add(shape.rows, shape.columns, type);
    for (int i = 0; backward && i < vectors; ++i) operands.add(1, shape.columns, type);
    time(bench, kernel, shape, of_shape(shape), operands, type);
}

void time_loss(Bench& bench, std::int64_t vocabulary, bool backward, DType type) {
    const Shape shape{std::min<std::int64_t>(512, (1 << 17) / vocabulary), vocabulary};
    Attributes attributes = of_shape(shape);
    attributes.vocabulary = attributes.real_vocabulary = vocabulary;
    Operands operands; // logits, targets, log_sum_exp, scale -> d_logits | logits, targets -> log_sum_exp, loss
    operands.add(shape.rows, vocabulary, type);
    operands.add(1, shape.rows, DType::int32);
    operands.add(1, shape.rows, DType::fp32);
    if (backward) {
        operands.absent();
        operands.add(shape.rows, vocabulary, type);
    } else {
        operands.add_zeros(1, 1, DType::fp64);
    }
    time(bench, backward ? Kernel::cross_entropy_backward : Kernel::cross_entropy_forward, shape, attributes, operands, type);
}

void time_embedding(Bench& bench, const Shape& shape, bool backward, DType type) {
    constexpr std::int64_t kVocabulary = 128;
    Attributes attributes = of_shape(shape);
    attributes.vocabulary = attributes.real_vocabulary = kVocabulary;
    attributes.accumulate = true; // tied weights: the head's gradient is there already
    Operands operands;            // tokens, table, positions -> out | tokens, d_out -> d_table, d_positions
    operands.add(1, shape.rows, DType::int32);
    operands.add(backward ? shape.rows : kVocabulary, shape.columns, type);
    operands.add(backward ? kVocabulary : shape.rows, shape.columns, type);
    operands.add(shape.rows, shape.columns, type);
    time(bench, backward ? Kernel::embedding_backward : Kernel::embedding_forward, shape, attributes, operands, type);
}

void time_squared_norm(Bench& bench, DType type) {
    constexpr Shape shape{1 << 17, 1};
    Operands operands;
    operands.add(1, shape.rows, type);
    operands.add_zeros(1, kernel::kNormBins, DType::fp64);
    time(bench, Kernel::squared_norm, shape, of_shape(shape), operands, type);
}

} // namespace

void time_paces(Bench& bench) {
    for (const DType type : {DType::fp32, DType::bf16}) {
        for (const auto& [in, out] : {std::pair<std::int64_t, std::int64_t>{64, 256}, {64, 64}, {192, 768}, {192, 192}})
            time_linear(bench, Resource::pace, 512, in, out, type);
        for (const bool backward : {false, true}) {
            for (const AttentionCase& what : {AttentionCase{8, 64, 4, 16}, AttentionCase{1, 256, 6, 32}, AttentionCase{1, 512, 4, 64}})
                time_attention(bench, Resource::pace, what, backward, type);
            time_elementwise(bench, backward ? Kernel::gelu_backward : Kernel::gelu_forward, backward ? 3 : 2, type);
            time_elementwise(bench, backward ? Kernel::swiglu_backward : Kernel::swiglu_forward, backward ? 5 : 3, type);
            for (const Shape& shape : kShapes) {
                for (const bool centred : {true, false}) time_norm(bench, shape, centred, backward, type);
                time_embedding(bench, shape, backward, type);
            }
            for (const std::int64_t vocabulary : kVocabularies) time_loss(bench, vocabulary, backward, type);
        }
        time_squared_norm(bench, type);
    }
}

} // namespace zerosim::cli
