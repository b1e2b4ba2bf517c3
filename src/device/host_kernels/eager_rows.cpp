#include "device/host_kernels/eager_rows.hpp"

#include "base/error.hpp"
#include "device/host_kernels/copy.hpp"

#include <cmath>

namespace zerosim::device::host {
namespace {

/// A vector as one row, whatever its view.
[[nodiscard]] TensorView flat(const TensorView& view) {
    check(view.contiguous(), "eager operation: a vector must be contiguous");
    return {view.data, 1, view.elements(), view.elements(), view.dtype};
}

void store_value(const TensorView& vector, std::int64_t index, float value) {
    Block block;
    block[0] = value;
    store_block(block, flat(vector), 0, index, 1);
}

[[nodiscard]] float load_value(const TensorView& vector, std::int64_t index) {
    Block block;
    load_block(flat(vector), 0, index, 1, block);
    return block[0];
}

/// body(row, column, count) over all of `view`, on all threads by rows.
template <class Body>
void for_each_row_block(const KernelCall& call, const TensorView& view, const Body& body) {
    parallel_for(call.context.workers, view.rows, row_grain(view.columns), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t row = begin; row < end; ++row)
            for (std::int64_t column = 0; column < view.columns; column += kBlock) body(row, column, std::min(kBlock, view.columns - column));
    });
}

void copy_columns(const KernelCall& call, const TensorView& from, std::int64_t from_column, const TensorView& to, std::int64_t to_column, std::int64_t columns) {
    TensorView source = from, target = to;
    source.data = from.as<std::byte>() + from_column * size_of(from.dtype);
    target.data = to.as<std::byte>() + to_column * size_of(to.dtype);
    source.columns = target.columns = columns;
    copy(call.context.workers, source, target, false);
}

}  // namespace

Broadcast::Broadcast(const TensorView& small, const kernel::Attributes& a) : rows_(a.broadcast_rows), columns_(a.broadcast_columns) {
    check(rows_ == 0 || (small.contiguous() && small.elements() == rows_ * columns_), "eager operation: a broadcast operand has another size than said");
}

void Broadcast::load(const TensorView& small, std::int64_t row, std::int64_t column, std::int64_t count, Block& block) const {
    if (!active()) return load_block(small, row, column, count, block);
    const TensorView line = flat(small);
    const std::int64_t base = row % rows_ * columns_;
    if (columns_ == 1) {
        load_block(line, 0, base, 1, block);
        std::fill(block.values + 1, block.values + padded(count), block[0]);
        return;
    }
    Block part;
    std::fill(block.values, block.values + padded(count), 0.0f);
    for (std::int64_t done = 0; done < count;) {
        const std::int64_t from = (column + done) % columns_, length = std::min(columns_ - from, count - done);
        load_block(line, 0, base + from, length, part);
        std::copy(part.values, part.values + length, block.values + done);
        done += length;
    }
}

std::int64_t integer_at(const TensorView& view, std::int64_t index) {
    if (view.dtype == DType::int64) return view.as<const std::int64_t>()[index];
    check(view.dtype == DType::int32, "eager operation: tokens and targets are whole numbers");
    return view.as<const std::int32_t>()[index];
}

void row_mean(const KernelCall& call) {
    const TensorView &a = call.operands[0], &out = call.operands[3];
    parallel_for(call.context.workers, a.rows, row_grain(a.columns), [&](std::int64_t begin, std::int64_t end) {
        Block block;
        for (std::int64_t row = begin; row < end; ++row) {
            double sum = 0;
            for (std::int64_t column = 0; column < a.columns; column += kBlock) {
                const std::int64_t count = std::min(kBlock, a.columns - column);
                load_block(a, row, column, count, block);
                sum += static_cast<double>(host::sum(block.values, padded(count)));
            }
            store_value(out, row, static_cast<float>(sum / static_cast<double>(a.columns)));
        }
    });
}

void row_mean_backward(const KernelCall& call) {
    const TensorView &d_mean = call.operands[0], &out = call.operands[3];
    for_each_row_block(call, out, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Block block;
        std::fill(block.values, block.values + padded(count), load_value(d_mean, row) / static_cast<float>(out.columns));
        store_block(block, out, row, column, count);
    });
}

/// Sums in row order: the threads own parts of the result.
void broadcast_sum(const KernelCall& call) {
    const TensorView& a = call.operands[0];
    const std::int64_t rows = call.attributes.broadcast_rows, columns = call.attributes.broadcast_columns;
    const TensorView out = flat(call.operands[3]);
    check(out.columns == rows * columns && a.rows % rows == 0 && a.columns % columns == 0, "eager operation: a sum's result does not divide its operand");
    const std::int64_t grain = std::max<std::int64_t>(1, kElementGrain * out.columns / std::max<std::int64_t>(1, a.elements()));
    parallel_for(call.context.workers, out.columns, grain, [&](std::int64_t begin, std::int64_t end) {
        Block sum, part;
        for (std::int64_t at = begin; at < end;) {
            const std::int64_t row = at / columns, column = at % columns, count = std::min({kBlock, end - at, columns - column});
            std::fill(sum.values, sum.values + padded(count), 0.0f);
            for (std::int64_t r = row; r < a.rows; r += rows)
                for (std::int64_t c = column; c < a.columns; c += columns) {
                    load_block(a, r, c, count, part);
                    for (std::int64_t i = 0; i < padded(count); ++i) sum[i] += part[i];
                }
            store_block(sum, out, 0, at, count);
            at += count;
        }
    });
}

void concatenate(const KernelCall& call) {
    std::int64_t column = 0;
    for (std::size_t i = 0; i < 3; ++i) {
        const TensorView& part = call.operands[i];
        if (part.data == nullptr) continue;
        copy_columns(call, part, 0, call.operands[3], column, part.columns);
        column += part.columns;
    }
}

void slice_backward(const KernelCall& call) {
    const TensorView &a = call.operands[0], &out = call.operands[3];
    fill(call.context.workers, out, 0.0);
    copy_columns(call, a, 0, out, static_cast<std::int64_t>(call.attributes.value), a.columns);
}

void repeat_heads(const KernelCall& call) {
    const TensorView &a = call.operands[0], &out = call.operands[3];
    const std::int64_t d = call.attributes.head_dim, repeats = static_cast<std::int64_t>(call.attributes.value);
    for (std::int64_t head = 0; head < out.columns / d; ++head) copy_columns(call, a, head / repeats * d, out, head * d, d);
}

void repeat_heads_backward(const KernelCall& call) {
    const TensorView &a = call.operands[0], &out = call.operands[3];
    const std::int64_t d = call.attributes.head_dim, repeats = static_cast<std::int64_t>(call.attributes.value);
    check(d <= kBlock, "repeat_heads: a head has at most 512 columns");
    parallel_for(call.context.workers, out.rows, row_grain(a.columns), [&](std::int64_t begin, std::int64_t end) {
        Block sum, part;
        for (std::int64_t row = begin; row < end; ++row)
            for (std::int64_t head = 0; head < out.columns / d; ++head) {
                load_block(a, row, head * repeats * d, d, sum);
                for (std::int64_t k = 1; k < repeats; ++k) {
                    load_block(a, row, (head * repeats + k) * d, d, part);
                    for (std::int64_t i = 0; i < padded(d); ++i) sum[i] += part[i];
                }
                store_block(sum, out, row, head * d, d);
            }
    });
}

void sequence_numbers(const KernelCall& call) {
    const TensorView& out = call.operands[3];
    check(out.dtype == DType::int64, "sequence_numbers: 8-byte whole numbers");
    for (std::int64_t i = 0; i < out.elements(); ++i) out.as<std::int64_t>()[i] = i;
}

void sum_of_squares(const KernelCall& call) {
    const TensorView& a = call.operands[0];
    double sum = 0;
    for (std::int64_t i = 0; i < a.elements(); ++i) sum += static_cast<double>(load_value(a, i)) * static_cast<double>(load_value(a, i));
    store_value(call.operands[3], 0, static_cast<float>(sum));
}

void clip_factor(const KernelCall& call) {
    const float norm = std::sqrt(load_value(call.operands[0], 0));
    store_value(call.operands[3], 0, std::min(1.0f, call.attributes.value / (norm + 1e-6f)));
}

}  // namespace zerosim::device::host
