#include "device/cuda_kernels/norms.cuh"

#include <algorithm>

// The gradients of LayerNorm and RMSNorm, with the formulas of host_kernels/norm_gradient, and of a linear layer's bias. The sums over rows go
// through partial sums of fixed bands of rows, so they are the same at every run.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kColumnThreads = 128;
/// Of the one block that adds up the bands of 32 columns: its loads are all that is in flight, so it has as many warps as a block can.
constexpr unsigned kBandWarps = 32;
/// Blocks of backward_rows: about three on each multiprocessor of an H200 (132), which its registers allow. Of no device: the bits are the same
/// everywhere.
constexpr std::int64_t kRowBlocks = 384;
/// Elements of a row in a lane that backward_rows is made for, each with four registers.
constexpr int kMostElements = 32;

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

/// d_x = rstd (g - mean(g) - x^ mean(g x^)), g = d_y weight; RMSNorm has no mean(g). Rows of any width: read twice.
template <class Type, int N>
__global__ void input_gradient(Backward<Type> n) {
    const std::int64_t row = std::int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.x / kWarp, first = std::int64_t{threadIdx.x % kWarp} * N;
    if (row >= n.rows) return;
    const float mean = n.mean == nullptr ? 0.0f : n.mean[row], rstd = n.rstd[row], inverse = 1.0f / static_cast<float>(n.columns);
    float sum_g = 0, sum_g_x = 0;
    const auto load = [&](std::int64_t column, float (&g)[N], float (&x)[N]) {
        float weight[N];
        load_pack<Type, N>(n.d_y.row(row) + column, g);
        load_pack<Type, N>(n.x.row(row) + column, x);
        load_pack<Type, N>(n.weight + column, weight);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            g[i] *= weight[i];
            x[i] = (x[i] - mean) * rstd;
        }
    };
    for (std::int64_t column = first; column < n.columns; column += kWarp * N) {
        float g[N], x[N];
        load(column, g, x);
#pragma unroll
        for (int i = 0; i < N; ++i) {
            sum_g += g[i];
            sum_g_x += g[i] * x[i];
        }
    }
    const float mean_g = n.mean == nullptr ? 0.0f : inverse * warp_sum(sum_g), mean_g_x = inverse * warp_sum(sum_g_x);
    for (std::int64_t column = first; column < n.columns; column += kWarp * N) {
        float g[N], x[N], values[N] = {};
        load(column, g, x);
        if (n.accumulate_d_x) load_pack<Type, N>(n.d_x.row(row) + column, values);
#pragma unroll
        for (int i = 0; i < N; ++i) values[i] += rstd * (g[i] - mean_g - x[i] * mean_g_x);
        store_pack<Type, N>(values, n.d_x.row(row) + column);
    }
}

/// Sums of one band of rows (blockIdx.y), N columns a thread.
template <class Type, int N>
__global__ void partial_sums(Backward<Type> n) {
    const std::int64_t column = (std::int64_t{blockIdx.x} * kColumnThreads + threadIdx.x) * N;
    if (column >= n.columns) return;
    const std::int64_t band = blockIdx.y, begin = n.rows * band / n.bands, end = n.rows * (band + 1) / n.bands;
    float d_weight[N] = {}, d_bias[N] = {};
#pragma unroll 4
    for (std::int64_t row = begin; row < end; ++row) {
        float gradient[N], x[N];
        load_pack<Type, N>(n.d_y.row(row) + column, gradient);
        load_pack<Type, N>(n.x.row(row) + column, x);
        const float mean = n.mean == nullptr ? 0.0f : n.mean[row], rstd = n.rstd[row];
#pragma unroll
        for (int i = 0; i < N; ++i) {
            d_weight[i] += gradient[i] * (x[i] - mean) * rstd;
            d_bias[i] += gradient[i];
        }
    }
#pragma unroll
    for (int i = 0; i < N; ++i) {
        n.partial[(2 * band) * n.columns + column + i] = d_weight[i];
        n.partial[(2 * band + 1) * n.columns + column + i] = d_bias[i];
    }
}

/// A lane's packs of one row, as they are stored: those of a tensor come one behind the other, and none is waited for before all are on their way.
template <class Type, int kPacks>
struct RowPacks {
    StoredPack<Type, Type::kPack> packs[kPacks];

    __device__ void load(const typename Type::Storage* row, std::int64_t columns) {
#pragma unroll
        for (int p = 0; p < kPacks; ++p)
            if (const std::int64_t column = first_column<Type>() + p * kPackStride<Type>; column < columns) packs[p].load(row + column);
    }
    __device__ float value(int p, int i) const { return packs[p].value(i); }
};

/// The lane's sums over the warp's rows; columns beyond the row's are zero in all that is added.
template <int kPacks, int N>
struct ColumnSums {
    float d_weight[kPacks][N] = {}, d_bias[kPacks][N] = {};
};

/// One row; the lane reads all it needs of d_y before it writes d_x, which may be the same storage.
template <class Type, int kPacks>
__device__ void backward_row(const Backward<Type>& n, std::int64_t row, ColumnSums<kPacks, Type::kPack>& sums) {
    constexpr int N = Type::kPack;
    RowPacks<Type, kPacks> d_y, x, d_x, weight;
    d_y.load(n.d_y.row(row), n.columns);
    x.load(n.x.row(row), n.columns);
    d_x.load(n.accumulate_d_x ? n.d_x.row(row) : n.x.row(row), n.columns);   // without a condition: it comes beside the others
    weight.load(n.weight, n.columns);                    // of the first cache at all rows but the first
    const float keep = n.accumulate_d_x ? 1.0f : 0.0f;
    const float mean = n.mean == nullptr ? 0.0f : n.mean[row], rstd = n.rstd[row], inverse = 1.0f / static_cast<float>(n.columns);
    float sum_g = 0, sum_g_x = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p)
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float gradient = d_y.value(p, i), normal = (x.value(p, i) - mean) * rstd, g = gradient * weight.value(p, i);
            sums.d_weight[p][i] += gradient * normal;
            sums.d_bias[p][i] += gradient;
            sum_g += g;
            sum_g_x += g * normal;
        }
    const float mean_g = n.mean == nullptr ? 0.0f : inverse * warp_sum(sum_g), mean_g_x = inverse * warp_sum(sum_g_x);
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
        const std::int64_t column = first_column<Type>() + p * kPackStride<Type>;
        if (column >= n.columns) continue;
        float values[N];
#pragma unroll
        for (int i = 0; i < N; ++i) {                    // again from what is stored: half the registers, and warps enough to hide the loads behind
            const float normal = (x.value(p, i) - mean) * rstd, g = d_y.value(p, i) * weight.value(p, i);
            values[i] = keep * d_x.value(p, i) + rstd * (g - mean_g - normal * mean_g_x);
        }
        store_pack<Type, N>(values, n.d_x.row(row) + column);
    }
}

/// All three gradients at once: a warp a row, the row in registers, and the sums over the warp's rows too; a block's warps add theirs up in
/// order and leave them as one band.
template <class Type, int kPacks>
__global__ void __launch_bounds__(kRowThreads, Type::kPack == 8 ? 3 : 2) backward_rows(Backward<Type> n) {
    ZEROSIM_SHARED(memory);
    auto* const sums = reinterpret_cast<float*>(memory);   // [2][columns]
    const unsigned warp = threadIdx.x / kWarp;
    ColumnSums<kPacks, Type::kPack> lane;
    for (std::int64_t row = std::int64_t{blockIdx.x} * kRowsOfBlock + warp; row < n.rows; row += std::int64_t{gridDim.x} * kRowsOfBlock) backward_row<Type, kPacks>(n, row, lane);
    for (unsigned turn = 0; turn < kRowsOfBlock; ++turn) {
        if (turn == warp)
#pragma unroll
            for (int p = 0; p < kPacks; ++p)
#pragma unroll
                for (int i = 0; i < Type::kPack; ++i) {
                    const std::int64_t column = first_column<Type>() + p * kPackStride<Type> + i;
                    if (column >= n.columns) continue;
                    sums[column] = (turn == 0 ? 0.0f : sums[column]) + lane.d_weight[p][i];
                    sums[n.columns + column] = (turn == 0 ? 0.0f : sums[n.columns + column]) + lane.d_bias[p][i];
                }
        __syncthreads();
    }
    float* const band = n.partial + 2 * std::int64_t{blockIdx.x} * n.columns;
    for (std::int64_t i = threadIdx.x; i < 2 * n.columns; i += kRowThreads) band[i] = sums[i];
}

template <class Type>
__device__ void store_sum(typename Type::Storage* destination, float sum, bool accumulate) {
    *destination = Type::store(accumulate ? Type::load(*destination) + sum : sum);
}

/// Adds the bands up: a block has 32 columns of one of `sums` (blockIdx.y), a warp every kBandWarps-th band, and the warps add up in order.
template <class Result>
__global__ void band_totals(const float* partial, std::int64_t columns, std::int64_t bands, typename Result::Storage* first, typename Result::Storage* second, bool accumulate) {
    __shared__ float parts[kBandWarps][kWarp];
    const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    const std::int64_t column = std::int64_t{blockIdx.x} * kWarp + lane, stride = std::int64_t{gridDim.y} * columns;
    float sum = 0;
    if (column < columns)
#pragma unroll 4
        for (std::int64_t band = warp; band < bands; band += kBandWarps) sum += partial[band * stride + blockIdx.y * columns + column];
    parts[warp][lane] = sum;
    __syncthreads();
    if (warp != 0 || column >= columns) return;
    sum = 0;
    for (unsigned w = 0; w < kBandWarps; ++w) sum += parts[w][lane];
    typename Result::Storage* const result = blockIdx.y == 0 ? first : second;
    if (result != nullptr) store_sum<Result>(result + column, sum, accumulate);
}

/// Column sums of d_y alone, N columns a thread: the gradient of a linear layer's bias.
template <class Type, int N>
__global__ void column_partial(Matrix<Type> d_y, std::int64_t rows, std::int64_t columns, std::int64_t bands, float* partial) {
    const std::int64_t column = (std::int64_t{blockIdx.x} * kColumnThreads + threadIdx.x) * N;
    if (column >= columns) return;
    const std::int64_t band = blockIdx.y, end = rows * (band + 1) / bands;
    float sums[N] = {};
#pragma unroll 8
    for (std::int64_t row = rows * band / bands; row < end; ++row) {
        float values[N];
        load_pack<Type, N>(d_y.row(row) + column, values);
#pragma unroll
        for (int i = 0; i < N; ++i) sums[i] += values[i];
    }
#pragma unroll
    for (int i = 0; i < N; ++i) partial[band * columns + column + i] = sums[i];
}

unsigned strips_of(std::int64_t columns, std::int64_t columns_of_thread = 1) {
    const std::int64_t strip = kColumnThreads * columns_of_thread;
    return static_cast<unsigned>(std::max<std::int64_t>(1, (columns + strip - 1) / strip));
}
/// Bands of rows: enough blocks to fill a device, as many as the scratch holds, at least 32 rows each. A function of the shape alone.
std::int64_t most_bands(std::int64_t columns, std::int64_t sums) {
    return std::max<std::int64_t>(1, kScratchBytes / static_cast<std::int64_t>(sizeof(float)) / std::max<std::int64_t>(1, sums * columns));
}
std::int64_t bands_of(std::int64_t rows, std::int64_t columns, std::int64_t sums, std::int64_t columns_of_thread = 1) {
    constexpr std::int64_t kWantedBlocks = 1024, kRowsOfBand = 32;
    const std::int64_t strips = strips_of(columns, columns_of_thread);
    return std::max<std::int64_t>(1, std::min({kWantedBlocks / strips, rows / kRowsOfBand, most_bands(columns, sums)}));
}
unsigned warps_of(std::int64_t columns) { return static_cast<unsigned>((columns + kWarp - 1) / kWarp); }

template <class Type>
void column_sums(const Backward<Type>& n, std::int64_t bands, Stream stream) {
    launch(band_totals<Type>, {warps_of(n.columns), kBandWarps * kWarp, 0, 2}, stream, static_cast<const float*>(n.partial), n.columns, bands, n.d_weight, n.d_bias, n.accumulate);
}

/// Rows that no registers hold. The columns first: d_x may be the storage of d_y.
template <class Type, int N>
void wide_rows(Backward<Type> n, Stream stream) {
    n.bands = bands_of(n.rows, n.columns, 2, N);
    launch(partial_sums<Type, N>, {strips_of(n.columns, N), kColumnThreads, 0, static_cast<unsigned>(n.bands)}, stream, n);
    column_sums(n, n.bands, stream);
    launch(input_gradient<Type, N>, {row_blocks(n.rows), kRowThreads}, stream, n);
}

}  // namespace

void norm_backward(const KernelCall& call, const LaunchContext& context) {
    const auto& o = call.operands;                       // d_y, x, weight, [mean,] rstd, d_x, d_weight[, d_bias]
    const bool layer = call.kernel == kernel::Kernel::layer_norm_backward;
    const TensorView &x = o[1], &d_x = o[layer ? 5 : 4];
    with_float_type(x.dtype, [&](auto type) {
        using Type = decltype(type);
        using Storage = typename Type::Storage;
        const Backward<Type> n{matrix<Type>(o[0]), matrix<Type>(x), matrix<Type>(d_x), o[2].as<Storage>(), layer ? o[3].as<float>() : nullptr,
                               o[layer ? 4 : 3].as<float>(), o[layer ? 6 : 5].as<Storage>(), layer ? o[7].as<Storage>() : nullptr,
                               reinterpret_cast<float*>(context.scratch), x.rows, x.columns, 0, call.attributes.accumulate, call.attributes.accumulate_second};
        const std::int64_t row_bands = std::min({kRowBlocks, std::int64_t{row_blocks(x.rows)}, most_bands(x.columns, 2)});
        const bool whole_packs = packs(o[0]) && packs(x) && packs(d_x) && aligned(n.weight);
        const bool done = whole_packs && with_row_packs<Type, kMostElements / Type::kPack>(x.columns, [&]<int P>(std::integral_constant<int, P>) {
            launch(backward_rows<Type, P>, {static_cast<unsigned>(row_bands), kRowThreads, static_cast<unsigned>(2 * x.columns * 4)}, context.stream, n);
            column_sums(n, row_bands, context.stream);
        });
        if (done) return;
        if (whole_packs) wide_rows<Type, Type::kPack>(n, context.stream);
        else wide_rows<Type, 1>(n, context.stream);
    });
}

void bias_gradient(const TensorView& d_y, const TensorView& d_bias, bool accumulate, const LaunchContext& context) {
    float* const partial = reinterpret_cast<float*>(context.scratch);
    std::int64_t bands = 1;
    with_float_type(d_y.dtype, [&](auto type) {
        using Type = decltype(type);
        const auto run = [&]<int N>(std::integral_constant<int, N>) {
            bands = bands_of(d_y.rows, d_y.columns, 1, N);
            launch(column_partial<Type, N>, {strips_of(d_y.columns, N), kColumnThreads, 0, static_cast<unsigned>(bands)}, context.stream, matrix<Type>(d_y), d_y.rows, d_y.columns,
                   bands, partial);
        };
        if (packs(d_y)) run(std::integral_constant<int, Type::kPack>{});
        else run(std::integral_constant<int, 1>{});
    });
    with_float_type(d_bias.dtype, [&](auto type) {
        using Result = decltype(type);
        launch(band_totals<Result>, {warps_of(d_y.columns), kBandWarps * kWarp}, context.stream, static_cast<const float*>(partial), d_y.columns, bands,
               d_bias.as<typename Result::Storage>(), static_cast<typename Result::Storage*>(nullptr), accumulate);
    });
}

}  // namespace zerosim::device::cuda
