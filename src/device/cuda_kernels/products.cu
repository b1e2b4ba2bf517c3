#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"

#include <algorithm>

// Matrix products without conditions on strides and alignment, for what cuBLASLt has no algorithm for: a thread an element of the result, operands
// by tiles through shared memory. Correct on every device, and slow: no tensor cores.

namespace zerosim::device::cuda {
namespace {

constexpr int kTile = 16;
constexpr unsigned kThreads = kTile * kTile;
/// blockIdx.y goes no further (CUDA Programming Guide, "Compute Capabilities"): more rows of tiles are walked by the same blocks.
constexpr std::int64_t kMostRows = 65535;

/// An operand as the product has it: element (row, column) of op(M).
template <class Type>
struct Factor {
    const typename Type::Storage* data;
    std::int64_t row_step, column_step;
    __device__ float at(std::int64_t row, std::int64_t column) const { return Type::load(data[row * row_step + column * column_step]); }
};
template <class Type>
Factor<Type> factor(const TensorView& view, bool transposed) {
    return {view.as<const typename Type::Storage>(), transposed ? 1 : view.row_stride, transposed ? view.row_stride : 1};
}

template <class Type, class Result>
__global__ void product(Factor<Type> left, Factor<Type> right, Matrix<Result> result, std::int64_t rows, std::int64_t columns, std::int64_t depth, bool accumulate) {
    __shared__ float a[kTile][kTile + 1], b[kTile][kTile + 1];   // one column more: no two rows in one bank
    const int x = static_cast<int>(threadIdx.x) % kTile, y = static_cast<int>(threadIdx.x) / kTile;
    const std::int64_t column = std::int64_t{blockIdx.x} * kTile + x;
    for (std::int64_t tile = blockIdx.y; tile * kTile < rows; tile += gridDim.y) {
        const std::int64_t row = tile * kTile + y;
        float sum = 0;
        for (std::int64_t k = 0; k < depth; k += kTile) {
            a[y][x] = row < rows && k + x < depth ? left.at(row, k + x) : 0.0f;
            b[y][x] = k + y < depth && column < columns ? right.at(k + y, column) : 0.0f;
            __syncthreads();
#pragma unroll
            for (int i = 0; i < kTile; ++i) sum += a[y][i] * b[i][x];
            __syncthreads();                             // all are done with the tiles
        }
        if (row >= rows || column >= columns) continue;
        auto* const to = result.row(row) + column;
        *to = Result::store(accumulate ? Result::load(*to) + sum : sum);
    }
}

}  // namespace

void plain_product(const TensorView& left, bool left_transposed, const TensorView& right, bool right_transposed, const TensorView& result, bool accumulate,
                   const LaunchContext& context) {
    const std::int64_t depth = left_transposed ? left.rows : left.columns;
    check(depth == (right_transposed ? right.columns : right.rows) && left.dtype == right.dtype, "a product of operands of different depths or types");
    const std::int64_t rows = std::min((result.rows + kTile - 1) / kTile, kMostRows);
    const Grid grid{static_cast<unsigned>((result.columns + kTile - 1) / kTile), kThreads, 0, static_cast<unsigned>(rows)};
    with_float_type(left.dtype, [&](auto type) {
        with_float_type(result.dtype, [&](auto to) {
            using Type = decltype(type);
            using Result = decltype(to);
            launch(product<Type, Result>, grid, context.stream, factor<Type>(left, left_transposed), factor<Type>(right, right_transposed), matrix<Result>(result), result.rows,
                   result.columns, depth, accumulate);
        });
    });
}

}  // namespace zerosim::device::cuda
