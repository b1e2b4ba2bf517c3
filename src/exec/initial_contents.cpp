// What comes into a rank's memory from outside: tokens of a micro-batch, initial values of parameters.
#include "exec/interpreter.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace zerosim::exec {

using schedule::Op;

void Interpreter::input(const Op& op) {
    const auto operands = program_.operands_of(op);
    const device::TensorView tokens = memory_.view(operands[0]), targets = memory_.view(operands[1]);
    batch_.read(resources_.tokens, options_, rank_, step_, op.tags.micro_batch, tokens.elements());
    upload(batch_.tokens, tokens);
    upload(batch_.targets, targets);
}

/// Tokens of 4 bytes, or 8 as eager frameworks have them.
void Interpreter::upload(const std::vector<std::int32_t>& values, const device::TensorView& to) {
    if (to.dtype == DType::int32) return resources_.device.upload(values.data(), to.data, to.elements() * 4);
    const std::vector<std::int64_t> wide(values.begin(), values.end());
    resources_.device.upload(wide.data(), to.data, to.elements() * 8);
}

void Interpreter::initialize(const Op& op) {
    for (const TensorId operand : program_.operands_of(op))
        if (operand.valid()) fill_range(memory_.view(operand), op.range);
}

void Interpreter::fill_range(const device::TensorView& view, std::uint32_t range) {
    constexpr std::int64_t kChunk = 1 << 16;
    values_.resize(kChunk);
    resources_.device.fill(view, 0);   // padding
    const auto& layout = schedule_.layout(program_.ranges[range].layout);
    const std::int64_t start = memory_.range_start(range);
    for (const auto& segment : layout.segments) {
        const std::int64_t from = std::max(start, segment.offset), to = std::min(start + view.elements(), segment.offset + segment.count);
        if (segment.transposed_rows > 0) {
            fill_transposed(view, segment, from, to, start);
            continue;
        }
        for (std::int64_t at = from; at < to; at += kChunk) {
            const std::int64_t count = std::min(kChunk, to - at);
            const auto parameter = static_cast<std::size_t>(segment.parameter);
            data::initial_values(options_.initial.scheme, options_.seed, parameter, options_.initial.starts[parameter], at - segment.offset, count, values_.data());
            device::TensorView slice = view;
            slice.data = static_cast<std::byte*>(view.data) + (at - start) * size_of(view.dtype);
            slice.rows = 1;
            slice.columns = slice.row_stride = count;
            resources_.device.copy({values_.data(), 1, count, count, DType::fp32}, slice, false);
        }
    }
}

/// Rows of the transpose: each column is a run of the parameter's values. `view` begins with element `from` of the layout.
void Interpreter::fill_transposed(const device::TensorView& view, const schedule::FlatLayout::Segment& segment, std::int64_t from, std::int64_t to, std::int64_t start) {
    const std::int64_t columns = segment.count / segment.transposed_rows, low = from - segment.offset, high = to - segment.offset;
    const auto parameter = static_cast<std::size_t>(segment.parameter);
    for (std::int64_t column = 0; column < columns; ++column) {
        const auto row_at = [&](std::int64_t local) { return std::max<std::int64_t>(0, (local - column + columns - 1) / columns); };   // the first at or behind it
        const std::int64_t first = row_at(low), rows = row_at(high) - first;
        if (rows <= 0) continue;
        values_.resize(static_cast<std::size_t>(std::max<std::int64_t>(rows, static_cast<std::int64_t>(values_.size()))));
        data::initial_values(options_.initial.scheme, options_.seed, parameter, options_.initial.starts[parameter], column * segment.transposed_rows + first, rows,
                             values_.data());
        const std::int64_t at = segment.offset + first * columns + column - start;
        const device::TensorView target{static_cast<std::byte*>(view.data) + at * size_of(view.dtype), rows, 1, columns, view.dtype};
        resources_.device.copy({values_.data(), rows, 1, 1, DType::fp32}, target, false);
    }
}

}  // namespace zerosim::exec
