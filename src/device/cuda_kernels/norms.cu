#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"

#include <algorithm>

// LayerNorm (Ba, Kiros, Hinton 2016) and RMSNorm (Zhang, Sennrich 2019), forward and backward, with the formulas of
// host_kernels/{layer_norm,rms_norm,norm_gradient}. One warp a row; the sums over rows of the parameters' gradients go through partial
// sums of fixed bands of rows, so they are the same at every run.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kThreads = 128, kRowsOfBlock = kThreads / kWarp;
constexpr unsigned kColumnThreads = 128;

/// What both norms share; `mean` and `bias` are null for RMSNorm.
template <class Type>
struct Forward {
    Matrix<Type> x, y;
    const typename Type::Storage *weight, *bias;
    float *mean, *rstd;
    std::int64_t rows, columns;
    float epsilon;
};

template <class Type>
__device__ float row_sum(const typename Type::Storage* row, std::int64_t columns, float centre, bool square) {
    float sum = 0;
    for (std::int64_t i = threadIdx.x % kWarp; i < columns; i += kWarp) {
        const float value = Type::load(row[i]) - centre;
        sum += square ? value * value : value;
    }
    return warp_sum(sum);
}

template <class Type>
__global__ void forward(Forward<Type> n) {
    const std::int64_t row = std::int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.x / kWarp;
    if (row >= n.rows) return;                           // whole warps leave; nothing below synchronises the block
    const auto* x = n.x.row(row);
    auto* y = n.y.row(row);
    const float inverse = 1.0f / static_cast<float>(n.columns);
    const float mean = n.mean == nullptr ? 0.0f : inverse * row_sum<Type>(x, n.columns, 0.0f, false);
    const float rstd = rsqrtf(inverse * row_sum<Type>(x, n.columns, mean, true) + n.epsilon);
    for (std::int64_t i = threadIdx.x % kWarp; i < n.columns; i += kWarp) {
        const float value = (Type::load(x[i]) - mean) * rstd * Type::load(n.weight[i]);
        y[i] = Type::store(n.bias == nullptr ? value : value + Type::load(n.bias[i]));
    }
    if (threadIdx.x % kWarp != 0) return;
    if (n.mean != nullptr) n.mean[row] = mean;
    n.rstd[row] = rstd;
}

template <class Type>
struct Backward {
    Matrix<Type> d_y, x, d_x;
    const typename Type::Storage* weight;
    const float *mean, *rstd;
    typename Type::Storage *d_weight, *d_bias;
    float* partial;                                      // [bands][2][columns]
    std::int64_t rows, columns, bands;
    bool accumulate, accumulate_d_x;
};

/// d_x = rstd (g - mean(g) - x^ mean(g x^)), g = d_y weight; RMSNorm has no mean(g).
template <class Type>
__global__ void input_gradient(Backward<Type> n) {
    const std::int64_t row = std::int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.x / kWarp;
    if (row >= n.rows) return;
    const auto *d_y = n.d_y.row(row), *x = n.x.row(row);
    auto* d_x = n.d_x.row(row);
    const float mean = n.mean == nullptr ? 0.0f : n.mean[row], rstd = n.rstd[row], inverse = 1.0f / static_cast<float>(n.columns);
    float sum_g = 0, sum_g_x = 0;
    for (std::int64_t i = threadIdx.x % kWarp; i < n.columns; i += kWarp) {
        const float g = Type::load(d_y[i]) * Type::load(n.weight[i]);
        sum_g += g;
        sum_g_x += g * (Type::load(x[i]) - mean) * rstd;
    }
    const float mean_g = n.mean == nullptr ? 0.0f : inverse * warp_sum(sum_g), mean_g_x = inverse * warp_sum(sum_g_x);
    for (std::int64_t i = threadIdx.x % kWarp; i < n.columns; i += kWarp) {
        const float g = Type::load(d_y[i]) * Type::load(n.weight[i]);
        const float value = rstd * (g - mean_g - (Type::load(x[i]) - mean) * rstd * mean_g_x);
        d_x[i] = Type::store(n.accumulate_d_x ? Type::load(d_x[i]) + value : value);
    }
}

/// Sums of one band of rows (blockIdx.y), a thread a column.
template <class Type>
__global__ void partial_sums(Backward<Type> n) {
    const std::int64_t column = std::int64_t{blockIdx.x} * kColumnThreads + threadIdx.x;
    if (column >= n.columns) return;
    const std::int64_t band = blockIdx.y, begin = n.rows * band / n.bands, end = n.rows * (band + 1) / n.bands;
    float d_weight = 0, d_bias = 0;
    for (std::int64_t row = begin; row < end; ++row) {
        const float gradient = Type::load(n.d_y.row(row)[column]), mean = n.mean == nullptr ? 0.0f : n.mean[row];
        d_weight += gradient * (Type::load(n.x.row(row)[column]) - mean) * n.rstd[row];
        d_bias += gradient;
    }
    n.partial[(2 * band) * n.columns + column] = d_weight;
    n.partial[(2 * band + 1) * n.columns + column] = d_bias;
}

template <class Type>
__device__ void store_sum(typename Type::Storage* destination, float sum, bool accumulate) {
    *destination = Type::store(accumulate ? Type::load(*destination) + sum : sum);
}

template <class Type>
__global__ void total_sums(Backward<Type> n) {
    const std::int64_t column = std::int64_t{blockIdx.x} * kColumnThreads + threadIdx.x;
    if (column >= n.columns) return;
    float d_weight = 0, d_bias = 0;
    for (std::int64_t band = 0; band < n.bands; ++band) {
        d_weight += n.partial[(2 * band) * n.columns + column];
        d_bias += n.partial[(2 * band + 1) * n.columns + column];
    }
    store_sum<Type>(n.d_weight + column, d_weight, n.accumulate);
    if (n.d_bias != nullptr) store_sum<Type>(n.d_bias + column, d_bias, n.accumulate);
}

/// Column sums of d_y alone: the gradient of a linear layer's bias.
template <class Type>
__global__ void column_partial(Matrix<Type> d_y, std::int64_t rows, std::int64_t columns, std::int64_t bands, float* partial) {
    const std::int64_t column = std::int64_t{blockIdx.x} * kColumnThreads + threadIdx.x;
    if (column >= columns) return;
    const std::int64_t band = blockIdx.y;
    float sum = 0;
    for (std::int64_t row = rows * band / bands; row < rows * (band + 1) / bands; ++row) sum += Type::load(d_y.row(row)[column]);
    partial[band * columns + column] = sum;
}
template <class Result>
__global__ void column_total(const float* partial, std::int64_t columns, std::int64_t bands, typename Result::Storage* result, bool accumulate) {
    const std::int64_t column = std::int64_t{blockIdx.x} * kColumnThreads + threadIdx.x;
    if (column >= columns) return;
    float sum = 0;
    for (std::int64_t band = 0; band < bands; ++band) sum += partial[band * columns + column];
    store_sum<Result>(result + column, sum, accumulate);
}

/// Bands of rows: enough blocks to fill a device, as many as the scratch holds, at least 16 rows each. A function of the shape alone.
std::int64_t bands_of(std::int64_t rows, std::int64_t columns, std::int64_t sums) {
    constexpr std::int64_t kWantedBlocks = 1024, kRowsOfBand = 16;
    const std::int64_t strips = std::max<std::int64_t>(1, (columns + kColumnThreads - 1) / kColumnThreads);
    const std::int64_t room = kScratchBytes / static_cast<std::int64_t>(sizeof(float)) / std::max<std::int64_t>(1, sums * columns);
    return std::max<std::int64_t>(1, std::min({kWantedBlocks / strips, rows / kRowsOfBand, room}));
}
unsigned strips_of(std::int64_t columns) { return static_cast<unsigned>((columns + kColumnThreads - 1) / kColumnThreads); }
unsigned row_blocks(std::int64_t rows) { return static_cast<unsigned>((rows + kRowsOfBlock - 1) / kRowsOfBlock); }

}  // namespace

void norm_forward(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;                       // x, weight, [bias,] y, [mean,] rstd
    const bool layer = call.kernel == kernel::Kernel::layer_norm_forward;
    const TensorView &x = o[0], &y = o[layer ? 3 : 2];
    with_float_type(x.dtype, [&](auto type) {
        using Type = decltype(type);
        using Storage = typename Type::Storage;
        const Forward<Type> n{matrix<Type>(x), matrix<Type>(y), o[1].as<Storage>(), layer ? o[2].as<Storage>() : nullptr, layer ? o[4].as<float>() : nullptr,
                              o[layer ? 5 : 3].as<float>(), x.rows, x.columns, call.attributes.epsilon};
        launch(forward<Type>, {row_blocks(x.rows), kThreads}, context.stream, n);
    });
}

void norm_backward(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;                       // d_y, x, weight, [mean,] rstd, d_x, d_weight[, d_bias]
    const bool layer = call.kernel == kernel::Kernel::layer_norm_backward;
    const TensorView &x = o[1], &d_x = o[layer ? 5 : 4];
    with_float_type(x.dtype, [&](auto type) {
        using Type = decltype(type);
        using Storage = typename Type::Storage;
        const std::int64_t bands = bands_of(x.rows, x.columns, 2);
        const Backward<Type> n{matrix<Type>(o[0]), matrix<Type>(x), matrix<Type>(d_x), o[2].as<Storage>(), layer ? o[3].as<float>() : nullptr,
                               o[layer ? 4 : 3].as<float>(), o[layer ? 6 : 5].as<Storage>(), layer ? o[7].as<Storage>() : nullptr,
                               reinterpret_cast<float*>(context.scratch), x.rows, x.columns, bands, call.attributes.accumulate, call.attributes.accumulate_second};
        // The columns first: d_x may be the storage of d_y.
        launch(partial_sums<Type>, {strips_of(x.columns), kColumnThreads, 0, static_cast<unsigned>(bands)}, context.stream, n);
        launch(total_sums<Type>, {strips_of(x.columns), kColumnThreads}, context.stream, n);
        launch(input_gradient<Type>, {row_blocks(x.rows), kThreads}, context.stream, n);
    });
}

void bias_gradient(const TensorView& d_y, const TensorView& d_bias, bool accumulate, const LaunchContext& context) {
    const std::int64_t bands = bands_of(d_y.rows, d_y.columns, 1);
    float* const partial = reinterpret_cast<float*>(context.scratch);
    with_float_type(d_y.dtype, [&](auto type) {
        using Type = decltype(type);
        launch(column_partial<Type>, {strips_of(d_y.columns), kColumnThreads, 0, static_cast<unsigned>(bands)}, context.stream, matrix<Type>(d_y), d_y.rows, d_y.columns, bands,
               partial);
    });
    with_float_type(d_bias.dtype, [&](auto type) {
        using Result = decltype(type);
        launch(column_total<Result>, {strips_of(d_y.columns), kColumnThreads}, context.stream, static_cast<const float*>(partial), d_y.columns, bands,
               d_bias.as<typename Result::Storage>(), accumulate);
    });
}

}  // namespace zerosim::device::cuda
