#include "base/error.hpp"
#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/host_kernels/vector_math.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace zerosim::device::host {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

/// log(sum(exp(logits))) over the first `columns`, in one pass: the sum is rescaled when a block brings a new maximum
/// (Milakov, Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 3).
[[nodiscard]] double log_sum_exp(const TensorView& logits, std::int64_t row, std::int64_t columns) {
    Block block;
    float maximum = kNothing;
    double sum = 0.0;
    for (std::int64_t column = 0; column < columns; column += kBlock) {
        const std::int64_t count = std::min(kBlock, columns - column), whole = padded(count);
        load_block(logits, row, column, count, block);
        std::fill(block.values + count, block.values + whole, kNothing);
        const float highest = host::maximum(block.values, whole);
        if (highest > maximum) {
            sum *= std::exp(static_cast<double>(maximum) - static_cast<double>(highest));
            maximum = highest;
        }
        for (std::int64_t i = 0; i < whole; ++i) block[i] = fast_exp(block[i] - maximum);
        sum += static_cast<double>(host::sum(block.values, whole));
    }
    return static_cast<double>(maximum) + std::log(sum);
}

[[nodiscard]] float element(const TensorView& view, std::int64_t row, std::int64_t column) {
    Block block;
    load_block(view, row, column, 1, block);
    return block[0];
}

void check_targets(const std::int32_t* targets, std::int64_t tokens, std::int64_t vocabulary) {
    for (std::int64_t t = 0; t < tokens; ++t)
        if (targets[t] < 0 || targets[t] >= vocabulary)
            throw BugError(
                fmt::format("cross-entropy: target {} of token {} is outside the vocabulary of {}", targets[t], t, vocabulary));
}

/// One row of (softmax - onehot) * weight; columns beyond the real vocabulary are zero.
void backward_row(const TensorView& logits, const TensorView& d_logits, std::int64_t row, std::int64_t columns,
                  std::int32_t target, float log_sum, float weight) {
    Block block;
    for (std::int64_t column = 0; column < d_logits.columns; column += kBlock) {
        const std::int64_t count = std::min(kBlock, d_logits.columns - column);
        const std::int64_t real = std::clamp<std::int64_t>(columns - column, 0, count);
        load_block(logits, row, column, real, block);
        for (std::int64_t i = 0; i < padded(real); ++i) block[i] = fast_exp(block[i] - log_sum);
        if (target >= column && target < column + real) block[target - column] -= 1.0f;
        for (std::int64_t i = 0; i < padded(real); ++i) block[i] *= weight;
        std::fill(block.values + real, block.values + count, 0.0f);
        store_block(block, d_logits, row, column, count);
    }
}

} // namespace

void cross_entropy_forward(const KernelCall& call) {
    const TensorView &logits = call.operands[0], &targets = call.operands[1];
    auto* saved = call.operands[2].as<float>();
    const std::int64_t columns = call.attributes.real_vocabulary;
    const auto* target = targets.as<std::int32_t>();
    check(columns > 0 && columns <= logits.columns, "cross-entropy: real_vocabulary must be within the logits' columns");
    check_targets(target, logits.rows, columns);
    parallel_for(call.context.workers, logits.rows, std::max<std::int64_t>(1, kElementGrain / logits.columns),
                 [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t row = begin; row < end; ++row)
                         saved[row] = static_cast<float>(log_sum_exp(logits, row, columns));
                 });
    double sum = 0.0; // in token order, whatever the threads
    for (std::int64_t row = 0; row < logits.rows; ++row)
        sum += static_cast<double>(saved[row]) - static_cast<double>(element(logits, row, target[row]));
    *call.operands[3].as<double>() += call.attributes.loss_weight * sum;
}

void cross_entropy_backward(const KernelCall& call) {
    const TensorView &logits = call.operands[0], &targets = call.operands[1], &loss_scale = call.operands[3],
                     &d_logits = call.operands[4];
    const auto* saved = call.operands[2].as<float>();
    const std::int64_t columns = call.attributes.real_vocabulary;
    const auto* target = targets.as<std::int32_t>();
    check_targets(target, logits.rows, columns);
    const double scale = loss_scale.data != nullptr ? static_cast<double>(*loss_scale.as<float>()) : 1.0;
    const auto weight = static_cast<float>(call.attributes.loss_weight * scale);
    parallel_for(call.context.workers, logits.rows, std::max<std::int64_t>(1, kElementGrain / logits.columns),
                 [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t row = begin; row < end; ++row)
                         backward_row(logits, d_logits, row, columns, target[row], saved[row], weight);
                 });
}

} // namespace zerosim::device::host
