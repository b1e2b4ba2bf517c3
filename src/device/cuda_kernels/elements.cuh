// A loop over the elements of equally shaped tensors, a pack of 16 bytes at a time where their layout allows it.
// Used by the element-wise kernels: activations, add, dropout, copies.
// Knows no operation: a body maps packs of fp32 values.
#pragma once

#include "device/cuda_kernels/language.cuh"

#include <algorithm>
#include <initializer_list>

namespace zerosim::device::cuda {

/// Rows and columns of a loop: one long row where all tensors are contiguous.
struct Shape {
    std::int64_t rows = 0, columns = 0;
    bool flat = false, packed = false;
};
[[nodiscard]] inline Shape shape_of(std::initializer_list<const TensorView*> views) {
    const TensorView& first = **views.begin();
    Shape shape{first.rows, first.columns, true, true};
    for (const TensorView* view : views) shape.flat = shape.flat && view->contiguous();
    if (shape.flat) shape = {1, first.elements(), true, true};
    for (const TensorView* view : views) {
        TensorView seen = *view;
        if (shape.flat) seen.columns = seen.row_stride = shape.columns;
        shape.packed = shape.packed && packs(seen);
    }
    return shape;
}

/// body(row, column) for the first column of every pack of N.
template <int N, class Body>
__global__ void each_pack(std::int64_t rows, std::int64_t columns, Body body) {
    const std::int64_t per_row = (columns + N - 1) / N, stride = std::int64_t{gridDim.x} * blockDim.x;
    for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < rows * per_row; i += stride) {
        const std::int64_t row = rows == 1 ? 0 : i / per_row;
        body(row, (i - row * per_row) * N);
    }
}

inline constexpr unsigned kLoopThreads = 256;

/// Launches Body<Type, N>(views...) over the shape, N = a pack or one element.
template <class Type, template <class, int> class Body, class... Arguments>
void for_each_pack(const Shape& shape, Stream stream, const Arguments&... arguments) {
    constexpr int kN = Type::kPack;
    if (shape.packed)
        launch(each_pack<kN, Body<Type, kN>>, {blocks_for(shape.rows * ((shape.columns + kN - 1) / kN), kLoopThreads), kLoopThreads}, stream, shape.rows, shape.columns,
               Body<Type, kN>{arguments...});
    else
        launch(each_pack<1, Body<Type, 1>>, {blocks_for(shape.rows * shape.columns, kLoopThreads), kLoopThreads}, stream, shape.rows, shape.columns, Body<Type, 1>{arguments...});
}

}  // namespace zerosim::device::cuda
