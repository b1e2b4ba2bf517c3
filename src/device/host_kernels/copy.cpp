#include "device/host_kernels/copy.hpp"

#include "base/error.hpp"
#include "device/host_kernels/elementwise.hpp"

#include <fmt/format.h>

#include <cstring>

namespace zerosim::device::host {
namespace {

[[nodiscard]] bool computes(DType type) { return type == DType::fp32 || type == DType::bf16 || type == DType::fp16; }

[[nodiscard]] std::byte* address(const TensorView& view, std::int64_t row, std::int64_t column) {
    return view.as<std::byte>() + (row * view.row_stride + column) * size_of(view.dtype);
}

/// A contiguous view takes the other one's shape.
[[nodiscard]] TensorView shaped_like(const TensorView& view, const TensorView& other) {
    if (view.rows == other.rows && view.columns == other.columns) return view;
    if (!view.contiguous() || view.elements() != other.elements())
        throw BugError(
            fmt::format("copy between {} x {} and {} x {} elements", view.rows, view.columns, other.rows, other.columns));
    return {view.data, other.rows, other.columns, other.columns, view.dtype};
}

void load_doubles(const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t count, double* values) {
    if (view.dtype == DType::fp64) {
        std::memcpy(values, address(view, row, column), static_cast<std::size_t>(count) * sizeof(double));
        return;
    }
    Block block;
    load_block(view, row, column, count, block);
    std::copy(block.values, block.values + count, values);
}

void store_doubles(const double* values, const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t count) {
    if (view.dtype == DType::fp64) {
        std::memcpy(address(view, row, column), values, static_cast<std::size_t>(count) * sizeof(double));
        return;
    }
    Block block;
    std::transform(values, values + count, block.values, [](double value) { return static_cast<float>(value); });
    store_block(block, view, row, column, count);
}

/// Where one side is fp64.
void copy_doubles(const TensorView& from, const TensorView& to, bool accumulate, std::int64_t row, std::int64_t column,
                  std::int64_t count) {
    double values[kBlock], sum[kBlock];
    load_doubles(from, row, column, count, values);
    if (accumulate) {
        load_doubles(to, row, column, count, sum);
        for (std::int64_t i = 0; i < count; ++i) values[i] += sum[i];
    }
    store_doubles(values, to, row, column, count);
}

void copy_floats(const TensorView& from, const TensorView& to, bool accumulate, std::int64_t row, std::int64_t column,
                 std::int64_t count) {
    Block block, sum;
    load_block(from, row, column, count, block);
    if (accumulate) {
        load_block(to, row, column, count, sum);
        for (std::int64_t i = 0; i < padded(count); ++i) block[i] += sum[i];
    }
    store_block(block, to, row, column, count);
}

/// Same type, nothing added: bytes.
void copy_bytes(Workers* workers, const TensorView& from, const TensorView& to) {
    const bool flat = all_contiguous({from, to});
    const std::int64_t rows = flat ? 1 : to.rows, columns = flat ? to.elements() : to.columns, size = size_of(to.dtype);
    const auto run = [&](std::int64_t row, std::int64_t begin, std::int64_t end) {
        if (begin < end)
            std::memmove(address(to, row, begin), address(from, row, begin), static_cast<std::size_t>((end - begin) * size));
    };
    if (flat)
        parallel_for(workers, columns, kElementGrain, [&](std::int64_t begin, std::int64_t end) { run(0, begin, end); });
    else
        parallel_for(workers, rows, std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(1, columns)),
                     [&](std::int64_t begin, std::int64_t end) {
                         for (std::int64_t row = begin; row < end; ++row) run(row, 0, columns);
                     });
}

template <class T>
void fill_as(const TensorView& to, std::int64_t row, std::int64_t column, std::int64_t count, T value) {
    T* data = to.as<T>() + row * to.row_stride + column;
    std::fill(data, data + count, value);
}

} // namespace

void copy(Workers* workers, const TensorView& source, const TensorView& destination, bool accumulate) {
    const TensorView from = destination.contiguous() ? source : shaped_like(source, destination);
    const TensorView to = shaped_like(destination, from);
    if (from.dtype == to.dtype && !accumulate) return copy_bytes(workers, from, to);
    const auto converts = [](DType type) { return computes(type) || type == DType::fp64; };
    if (!converts(from.dtype) || !converts(to.dtype))
        throw BugError(fmt::format("copy from {} to {}{}: integers are copied only to their own type", name(from.dtype),
                                   name(to.dtype), accumulate ? ", adding" : ""));
    const bool floats = computes(from.dtype) && computes(to.dtype);
    for_each_block(workers, {to, from}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        (floats ? copy_floats : copy_doubles)(from, to, accumulate, row, column, count);
    });
}

void fill(Workers* workers, const TensorView& destination, double value) {
    for_each_block(workers, {destination}, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        switch (destination.dtype) {
            case DType::fp32: return fill_as(destination, row, column, count, static_cast<float>(value));
            case DType::bf16: return fill_as(destination, row, column, count, float_to_bf16(static_cast<float>(value)));
            case DType::fp16: return fill_as(destination, row, column, count, float_to_fp16(static_cast<float>(value)));
            case DType::fp64: return fill_as(destination, row, column, count, value);
            case DType::int32: return fill_as(destination, row, column, count, static_cast<std::int32_t>(value));
            case DType::int64: return fill_as(destination, row, column, count, static_cast<std::int64_t>(value));
            case DType::uint8: return fill_as(destination, row, column, count, static_cast<std::uint8_t>(value));
        }
    });
}

} // namespace zerosim::device::host
