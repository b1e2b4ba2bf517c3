// Rotary embeddings, softmax and the loss as eager modules compute them.
#include "base/error.hpp"
#include "device/host_kernels/eager_rows.hpp"
#include "device/host_kernels/vector_math.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace zerosim::device::host {
namespace {

/// Su et al. 2021 (RoFormer), section 3.2.2: position * base^(-2i/d).
[[nodiscard]] double angle(std::int64_t position, std::int64_t pair, const kernel::Attributes& a) {
    return static_cast<double>(position) * std::pow(static_cast<double>(a.rotary_base), -2.0 * static_cast<double>(pair) / static_cast<double>(a.head_dim));
}

/// log(sum(exp(x))) of a row's first `columns`, and the row's values on the way.
[[nodiscard]] double log_sum_exp(const TensorView& x, std::int64_t row, std::int64_t columns) {
    Block block;
    float maximum = -std::numeric_limits<float>::infinity();
    for (std::int64_t column = 0; column < columns; column += kBlock) {
        const std::int64_t count = std::min(kBlock, columns - column);
        load_block(x, row, column, count, block);
        maximum = std::max(maximum, host::maximum(block.values, count));
    }
    double sum = 0;
    for (std::int64_t column = 0; column < columns; column += kBlock) {
        const std::int64_t count = std::min(kBlock, columns - column);
        load_block(x, row, column, count, block);
        for (std::int64_t i = 0; i < padded(count); ++i) block[i] = fast_exp(block[i] - maximum);
        sum += static_cast<double>(host::sum(block.values, count));
    }
    return static_cast<double>(maximum) + std::log(sum);
}

[[nodiscard]] std::int64_t real_columns(const KernelCall& call, const TensorView& view) {
    const std::int64_t real = call.attributes.real_vocabulary;
    return real > 0 ? std::min(real, view.columns) : view.columns;
}

[[nodiscard]] std::int64_t target_of(const TensorView& targets, std::int64_t token, std::int64_t columns) {
    const std::int64_t target = integer_at(targets, token);
    if (target < 0 || target >= columns) throw BugError(fmt::format("loss: target {} of token {} is outside the vocabulary of {}", target, token, columns));
    return target;
}

}  // namespace

void rotary_angles(const KernelCall& call) {
    const TensorView& out = call.operands[3];
    const std::int64_t half = call.attributes.head_dim / 2;
    for (std::int64_t row = 0; row < out.rows; ++row)
        for (std::int64_t column = 0; column < out.columns; ++column)
            out.as<float>()[row * out.row_stride + column] = static_cast<float>(angle(row, column % half, call.attributes));
}

void rotary_table(const KernelCall& call) {
    const TensorView& out = call.operands[3];
    parallel_for(call.context.workers, out.rows, row_grain(32 * out.columns), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row)
            for (std::int64_t pair = 0; pair < out.columns / 2; ++pair) {
                float* const complex = out.as<float>() + row * out.row_stride + 2 * pair;
                const double turn = angle(row, pair, call.attributes);
                complex[0] = static_cast<float>(std::cos(turn));
                complex[1] = static_cast<float>(std::sin(turn));
            }
    });
}

/// Pairs are those of Hugging Face's weights (i and i + d/2 of a head): torchtitan pairs neighbours, and permutes the rows of q and k
/// when it loads such weights, which comes to the same.
void rotate_by_table(const KernelCall& call, float direction) {
    const TensorView &a = call.operands[0], &table = call.operands[1], &out = call.operands[3];
    const std::int64_t d = call.attributes.head_dim, half = d / 2, sequence = call.attributes.sequence;
    check(sequence > 0 && sequence <= table.rows && half <= kBlock, "rotate: the table has too few positions, or a head is wider than 1024");
    parallel_for(call.context.workers, a.rows, row_grain(a.columns), [&](std::int64_t begin, std::int64_t end) {
        Block first, second;
        for (std::int64_t row = begin; row < end; ++row) {
            const float* const turn = table.as<const float>() + row % sequence * table.row_stride;
            for (std::int64_t column = 0; column < a.columns; column += d) {
                load_block(a, row, column, half, first);
                load_block(a, row, column + half, half, second);
                for (std::int64_t i = 0; i < half; ++i) {
                    const float x = first[i], y = second[i], cosine = turn[2 * i], sine = direction * turn[2 * i + 1];
                    first[i] = x * cosine - y * sine;
                    second[i] = y * cosine + x * sine;
                }
                store_block(first, out, row, column, half);
                store_block(second, out, row, column + half, half);
            }
        }
    });
}

void log_softmax(const KernelCall& call) {
    const TensorView &a = call.operands[0], &out = call.operands[3];
    const std::int64_t real = real_columns(call, a);
    parallel_for(call.context.workers, a.rows, row_grain(a.columns), [&](std::int64_t begin, std::int64_t end) {
        Block block;
        for (std::int64_t row = begin; row < end; ++row) {
            const auto total = static_cast<float>(log_sum_exp(a, row, real));
            for (std::int64_t column = 0; column < a.columns; column += kBlock) {
                const std::int64_t count = std::min(kBlock, a.columns - column);
                load_block(a, row, column, count, block);
                for (std::int64_t i = 0; i < padded(count); ++i) block[i] -= total;
                store_block(block, out, row, column, count);
            }
        }
    });
}

/// d_x = d_y - softmax * sum(d_y); columns of padding get none.
void log_softmax_backward(const KernelCall& call) {
    const TensorView &d_y = call.operands[0], &y = call.operands[1], &out = call.operands[3];
    const std::int64_t real = real_columns(call, y);
    parallel_for(call.context.workers, y.rows, row_grain(y.columns), [&](std::int64_t begin, std::int64_t end) {
        Block gradient, kept;
        for (std::int64_t row = begin; row < end; ++row) {
            double sum = 0;
            for (std::int64_t column = 0; column < real; column += kBlock) {
                const std::int64_t count = std::min(kBlock, real - column);
                load_block(d_y, row, column, count, gradient);
                sum += static_cast<double>(host::sum(gradient.values, count));
            }
            for (std::int64_t column = 0; column < y.columns; column += kBlock) {
                const std::int64_t count = std::min(kBlock, y.columns - column);
                load_block(d_y, row, column, count, gradient);
                load_block(y, row, column, count, kept);
                for (std::int64_t i = 0; i < padded(count); ++i) gradient[i] -= fast_exp(kept[i]) * static_cast<float>(sum);
                for (std::int64_t i = std::max<std::int64_t>(real - column, 0); i < count; ++i) gradient[i] = 0.0f;
                store_block(gradient, out, row, column, count);
            }
        }
    });
}

void negative_log_likelihood(const KernelCall& call) {
    const TensorView &y = call.operands[0], &targets = call.operands[1], &out = call.operands[3];
    Block block;
    double sum = 0;
    for (std::int64_t row = 0; row < y.rows; ++row) {
        load_block(y, row, target_of(targets, row, real_columns(call, y)), 1, block);
        sum -= static_cast<double>(block[0]);
    }
    *out.as<float>() = static_cast<float>(sum / static_cast<double>(y.rows));
}

void negative_log_likelihood_backward(const KernelCall& call) {
    const TensorView &targets = call.operands[0], &d_loss = call.operands[1], &out = call.operands[3];
    const float value = -*d_loss.as<float>() / static_cast<float>(out.rows);
    parallel_for(call.context.workers, out.rows, row_grain(out.columns), [&](std::int64_t begin, std::int64_t end) {
        Block block;
        for (std::int64_t row = begin; row < end; ++row) {
            const std::int64_t target = target_of(targets, row, out.columns);
            for (std::int64_t column = 0; column < out.columns; column += kBlock) {
                const std::int64_t count = std::min(kBlock, out.columns - column);
                std::fill(block.values, block.values + count, 0.0f);
                if (target >= column && target < column + count) block[target - column] = value;
                store_block(block, out, row, column, count);
            }
        }
    });
}

}  // namespace zerosim::device::host
