// A loop over the elements of equally shaped tensors, a pack of 16 bytes at a time where their layout allows it.
// Used by the element-wise kernels: activations, add, dropout, copies.
// Knows no operation: a body maps packs of fp32 values.
#pragma once

#include "device/cuda_kernels/language.cuh"

#include <span>

namespace zerosim::device::cuda {

/// Rows and columns of a loop: one long row where all tensors are contiguous.
struct Shape {
    std::int64_t rows = 0, columns = 0;
    bool flat = false, packed = false;
};
[[nodiscard]] inline Shape shape_of(std::span<const TensorView> views) {
    const TensorView& first = views.front();
    Shape shape{first.rows, first.columns, true, true};
    for (const TensorView& view : views) shape.flat = shape.flat && view.contiguous();
    if (shape.flat) shape = {1, first.elements(), true, true};
    for (TensorView seen : views) {
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

/// Operation::apply on fp32 values of each element: kInputs tensors in, kOutputs out, packs at a time.
template <class Operation, class Type, int N>
struct Mapped {
    Matrix<Type> inputs[Operation::kInputs], outputs[Operation::kOutputs];
    __device__ void operator()(std::int64_t row, std::int64_t column) const {
        float in[Operation::kInputs][N], out[Operation::kOutputs][N];
#pragma unroll
        for (int t = 0; t < Operation::kInputs; ++t) load_pack<Type, N>(inputs[t].row(row) + column, in[t]);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            float values[Operation::kInputs], results[Operation::kOutputs];
#pragma unroll
            for (int t = 0; t < Operation::kInputs; ++t) values[t] = in[t][i];
            Operation::apply(values, results);
#pragma unroll
            for (int t = 0; t < Operation::kOutputs; ++t) out[t][i] = results[t];
        }
#pragma unroll
        for (int t = 0; t < Operation::kOutputs; ++t) store_pack<Type, N>(out[t], outputs[t].row(row) + column);
    }
};

template <class Operation, class Type, int N>
void map_packs(const Shape& shape, std::span<const TensorView> views, Stream stream) {
    Mapped<Operation, Type, N> body;
    for (int t = 0; t < Operation::kInputs; ++t) body.inputs[t] = matrix<Type>(views[static_cast<std::size_t>(t)]);
    for (int t = 0; t < Operation::kOutputs; ++t) body.outputs[t] = matrix<Type>(views[static_cast<std::size_t>(Operation::kInputs + t)]);
    launch(each_pack<N, Mapped<Operation, Type, N>>, {blocks_for(shape.rows * ((shape.columns + N - 1) / N), kLoopThreads), kLoopThreads}, stream, shape.rows, shape.columns, body);
}

/// The operation over `views`: its inputs, then its outputs, all of one type and shape.
template <class Operation>
void map(std::span<const TensorView> views, Stream stream) {
    const Shape shape = shape_of(views.first(Operation::kInputs + Operation::kOutputs));
    with_float_type(views[0].dtype, [&](auto type) {
        using Type = decltype(type);
        if (shape.packed) map_packs<Operation, Type, Type::kPack>(shape, views, stream);
        else map_packs<Operation, Type, 1>(shape, views, stream);
    });
}

}  // namespace zerosim::device::cuda
