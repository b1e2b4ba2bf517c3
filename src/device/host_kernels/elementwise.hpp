// Element-wise kernels in blocks: operands of any float type are read to fp32 stack blocks, computed and rounded back.
// Used by gelu, swiglu, add, dropout, adamw and copy.
// Does not compute. Every element, tails included, passes through the same full-width loop, so its bits do not depend
// on where a partition of the operands cuts them.
#pragma once

#include "device/device.hpp"
#include "device/host_kernels/lanes.hpp"
#include "device/workers.hpp"

#include <algorithm>
#include <initializer_list>

namespace zerosim::device::host {

inline constexpr std::int64_t kBlock = 512; // floats: five operands of 2 KiB stay in a 32 KiB first-level cache
// Elements a thread should have at least: handing a loop to a sleeping thread costs about as much as 16 Ki elements.
inline constexpr std::int64_t kElementGrain = 16384;

struct alignas(64) Block {
    float values[kBlock];
    [[nodiscard]] float& operator[](std::int64_t i) { return values[i]; }
    [[nodiscard]] float operator[](std::int64_t i) const { return values[i]; }
};

/// Trip count of a loop over a block of `count` elements: whole registers.
[[nodiscard]] constexpr std::int64_t padded(std::int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

/// `count` elements of row `row` from `column` as fp32, then zeros up to padded(count). A contiguous view is one long row.
void load_block(const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t count, Block& block);
/// Rounds the block's first `count` values into the row.
void store_block(const Block& block, const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t count);

/// All views contiguous: they can be walked as one long row.
[[nodiscard]] bool all_contiguous(std::initializer_list<TensorView> views);

/// Calls body(row, column, count), count <= kBlock, so that every element of the equally shaped views is visited once,
/// on all threads. The element's number in row-major order is row * columns + column in any case.
template <class Body>
void for_each_block(Workers* workers, std::initializer_list<TensorView> views, const Body& body) {
    const TensorView& shape = *views.begin();
    const bool flat = all_contiguous(views);
    const std::int64_t rows = flat ? 1 : shape.rows, columns = flat ? shape.elements() : shape.columns;
    const auto walk = [&body](std::int64_t row, std::int64_t begin, std::int64_t end) {
        for (std::int64_t column = begin; column < end; column += kBlock) body(row, column, std::min(kBlock, end - column));
    };
    if (flat) {
        parallel_for(workers, columns, kElementGrain, [&](std::int64_t begin, std::int64_t end) { walk(0, begin, end); });
        return;
    }
    parallel_for(workers, rows, std::max<std::int64_t>(1, kElementGrain / std::max<std::int64_t>(1, columns)),
                 [&](std::int64_t begin, std::int64_t end) {
                     for (std::int64_t row = begin; row < end; ++row) walk(row, 0, columns);
                 });
}

} // namespace zerosim::device::host
