#include "device/host_kernels/matrix_product.hpp"

#include "device/host_kernels/elements.hpp"
#include "device/host_kernels/scratch.hpp"
#include "device/host_kernels/sgemm.hpp"
#include "device/workers.hpp"
#include "kernel/host_blocking.hpp"

#include <algorithm>
#include <atomic>

namespace zerosim::device::host {

namespace {

namespace blocking = kernel::host_blocking;

blocking::Product shape(const ProductCall& call) {
    const TensorView& a = call.a.view;
    return {call.result.rows, call.result.columns, call.a.transposed ? a.rows : a.columns};
}

/// `count` elements of a view's row from `column`, in fp32.
void load_elements(const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t count, float* destination) {
    with_float_type(view.dtype, [&](auto type) {
        using Type = decltype(type);
        load_row<Type>(row_of<Type>(view, row) + column, destination, count);
    });
}

void fill_rows(float* rows, std::int64_t count, std::int64_t stride, const TensorView* bias, std::int64_t column,
               std::int64_t width) {
    if (count == 0) return;
    if (bias == nullptr)
        std::fill_n(rows, width, 0.0f);
    else
        load_elements(*bias, 0, column, width, rows);
    for (std::int64_t row = 1; row < count; ++row) std::copy_n(rows, width, rows + row * stride);
}

/// op(M)[first.., depth..] as an sgemm operand without copying.
MatrixOperand operand(const Factor& factor, std::int64_t row, std::int64_t column) {
    const std::int64_t stored_row = factor.transposed ? column : row, stored_column = factor.transposed ? row : column;
    return {factor.view.as<float>() + stored_row * factor.view.row_stride + stored_column, factor.view.row_stride,
            factor.transposed};
}

// fp32: one sgemm for each strip of the result, cut along its longer side (the other factor is packed once a strip) at multiples
// of BLAS' register tiles (16 columns on AVX-512, 24 rows at most).
constexpr std::int64_t kStripAlignment = 48;
// A strip below about 10 us on one core is not worth a hand-over between threads.
constexpr double kStripFlops = 1e6;

void product_in_place(const ProductCall& call, const blocking::Product& size) {
    const bool by_columns = size.columns >= size.rows;
    const std::int64_t length = by_columns ? size.columns : size.rows;
    const double unit_flops = 2.0 * kStripAlignment * static_cast<double>((by_columns ? size.rows : size.columns) * size.depth);
    const auto grain = static_cast<std::int64_t>(std::min(kStripFlops / std::max(unit_flops, 1.0), 1e6)) + 1;
    const std::int64_t units = blocking::blocks(length, kStripAlignment);
    const auto strip = [&](std::int64_t first_unit, std::int64_t last_unit) {
        const std::int64_t begin = first_unit * kStripAlignment, end = std::min(last_unit * kStripAlignment, length);
        const std::int64_t row = by_columns ? 0 : begin, column = by_columns ? begin : 0;
        const std::int64_t rows = by_columns ? size.rows : end - begin, columns = by_columns ? end - begin : size.columns;
        float* c = row_of<Float32>(call.result, row) + column;
        // BLAS clears the result before it adds: writing the bias instead costs the same.
        if (call.bias != nullptr) fill_rows(c, rows, call.result.row_stride, call.bias, column, columns);
        sgemm(rows, columns, size.depth, 1.0f, operand(call.a, row, 0), operand(call.b, 0, column),
              call.accumulate || call.bias != nullptr ? 1.0f : 0.0f, c, call.result.row_stride);
    };
    parallel_for(call.workers, units, grain, strip);
}

/// Copies block [row, row + rows) x [column, column + columns) of op(M), as stored, to a dense fp32 panel.
MatrixOperand load_panel(const Factor& factor, std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns,
                         float* panel) {
    const TensorView& view = factor.view;
    const std::int64_t stored_row = factor.transposed ? column : row, stored_column = factor.transposed ? row : column;
    const std::int64_t stored_rows = factor.transposed ? columns : rows, width = factor.transposed ? rows : columns;
    with_float_type(view.dtype, [&](auto type) {
        using Type = decltype(type);
        for (std::int64_t i = 0; i < stored_rows; ++i)
            load_row<Type>(row_of<Type>(view, stored_row + i) + stored_column, panel + i * width, width);
    });
    return {panel, width, factor.transposed};
}

void store_block(const TensorView& result, std::int64_t row, std::int64_t column, std::int64_t rows, std::int64_t columns,
                 const float* block, bool accumulate) {
    with_float_type(result.dtype, [&](auto type) {
        using Type = decltype(type);
        for (std::int64_t i = 0; i < rows; ++i) {
            auto* destination = row_of<Type>(result, row + i) + column;
            if (accumulate)
                add_row<Type>(block + i * columns, destination, columns);
            else
                store_row<Type>(block + i * columns, destination, columns);
        }
    });
}

void product_block(const ProductCall& call, const blocking::Product& size, std::int64_t block, Scratch scratch) {
    const std::int64_t block_columns = blocking::blocks(size.columns, blocking::kBlockColumns);
    const std::int64_t row = block / block_columns * blocking::kBlockRows,
                       column = block % block_columns * blocking::kBlockColumns;
    const std::int64_t rows = std::min(blocking::kBlockRows, size.rows - row);
    const std::int64_t columns = std::min(blocking::kBlockColumns, size.columns - column);
    const std::int64_t depth = std::min(blocking::kBlockDepth, size.depth);
    float* a_panel = scratch.take(rows * depth);
    float* b_panel = scratch.take(columns * depth);
    float* sums = scratch.take(rows * columns);
    fill_rows(sums, rows, columns, call.bias, column, columns);
    for (std::int64_t k = 0; k < size.depth; k += depth) {
        const std::int64_t part = std::min(depth, size.depth - k);
        const MatrixOperand a = load_panel(call.a, row, k, rows, part, a_panel);
        const MatrixOperand b = load_panel(call.b, k, column, part, columns, b_panel);
        sgemm(rows, columns, part, 1.0f, a, b, 1.0f, sums, columns);
    }
    store_block(call.result, row, column, rows, columns, sums, call.accumulate);
}

/// 2-byte operands: blocks of the result in any order, each by one thread in its slot.
void product_by_panels(const ProductCall& call, const blocking::Product& size) {
    const std::int64_t threads = call.workers == nullptr ? 1 : call.workers->threads();
    const std::int64_t blocks = blocking::product_blocks(size), slot_floats = blocking::product_slot(size);
    const std::int64_t slots = std::min(threads, blocks);
    const TensorView none;
    const TensorView& workspace = call.workspace == nullptr ? none : *call.workspace;
    check_workspace(workspace, slots, slot_floats);
    std::atomic<std::int64_t> next{0};
    parallel_for(call.workers, slots, 1, [&](std::int64_t first_slot, std::int64_t) {
        for (std::int64_t block = next.fetch_add(1); block < blocks; block = next.fetch_add(1))
            product_block(call, size, block, Scratch(workspace, first_slot, slot_floats));
    });
}

} // namespace

void matrix_product(const ProductCall& call) {
    const blocking::Product size = shape(call);
    check(call.bias == nullptr || !call.accumulate, "matrix_product: a bias cannot be added to an accumulated result");
    check((call.a.transposed ? call.a.view.columns : call.a.view.rows) == size.rows,
          "matrix_product: rows of A and the result differ");
    check((call.b.transposed ? call.b.view.rows : call.b.view.columns) == size.columns,
          "matrix_product: columns of B and the result differ");
    check((call.b.transposed ? call.b.view.columns : call.b.view.rows) == size.depth, "matrix_product: depths of A and B differ");
    if (size.rows == 0 || size.columns == 0) return;
    const bool in_place =
        call.a.view.dtype == DType::fp32 && call.b.view.dtype == DType::fp32 && call.result.dtype == DType::fp32;
    if (in_place)
        product_in_place(call, size);
    else
        product_by_panels(call, size);
}

} // namespace zerosim::device::host
