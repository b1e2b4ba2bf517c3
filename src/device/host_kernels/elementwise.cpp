#include "device/host_kernels/elementwise.hpp"

#include "device/host_kernels/elements.hpp"

namespace zerosim::device::host {

void load_block(const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t count, Block& block) {
    with_float_type(view.dtype, [&]<class Type>(Type) { load_row<Type>(row_of<Type>(view, row) + column, block.values, count); });
    std::fill(block.values + count, block.values + padded(count), 0.0f);
}

void store_block(const Block& block, const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t count) {
    with_float_type(view.dtype,
                    [&]<class Type>(Type) { store_row<Type>(block.values, row_of<Type>(view, row) + column, count); });
}

bool all_contiguous(std::initializer_list<TensorView> views) {
    return std::all_of(views.begin(), views.end(), [](const TensorView& view) { return view.contiguous(); });
}

} // namespace zerosim::device::host
