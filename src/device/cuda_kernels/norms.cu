#include "device/cuda_kernels/norms.cuh"

// LayerNorm (Ba, Kiros, Hinton 2016) and RMSNorm (Zhang, Sennrich 2019), with the formulas of host_kernels/{layer_norm,rms_norm}. One warp a
// row, in registers where it fits.

namespace zerosim::device::cuda {
namespace {

/// Packs of a lane that forward_rows is made for: wider rows would not fit the registers.
constexpr int kMostPacks = 16;

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

/// The same with a row in registers: kPacks packs of 16 bytes a lane, read once.
template <class Type, int kPacks>
__global__ void __launch_bounds__(kRowThreads) forward_rows(Forward<Type> n) {
    constexpr int N = Type::kPack;
    const std::int64_t row = std::int64_t{blockIdx.x} * kRowsOfBlock + threadIdx.x / kWarp;
    if (row >= n.rows) return;
    const std::int64_t first = first_column<Type>();
    const float inverse = 1.0f / static_cast<float>(n.columns);
    float x[kPacks][N] = {}, sum = 0, squares = 0;
#pragma unroll
    for (int p = 0; p < kPacks; ++p)
        if (first + p * kPackStride<Type> < n.columns) load_pack<Type, N>(n.x.row(row) + first + p * kPackStride<Type>, x[p]);
#pragma unroll
    for (int p = 0; p < kPacks; ++p)
#pragma unroll
        for (int i = 0; i < N; ++i) sum += x[p][i];
    const float mean = n.mean == nullptr ? 0.0f : inverse * warp_sum(sum);
#pragma unroll
    for (int p = 0; p < kPacks; ++p)
#pragma unroll
        for (int i = 0; i < N; ++i) {
            const float value = x[p][i] - mean;
            if (first + p * kPackStride<Type> < n.columns) squares += value * value;
        }
    const float rstd = rsqrtf(inverse * warp_sum(squares) + n.epsilon);
#pragma unroll
    for (int p = 0; p < kPacks; ++p) {
        const std::int64_t column = first + p * kPackStride<Type>;
        if (column >= n.columns) continue;
        float weight[N], bias[N] = {};
        load_pack<Type, N>(n.weight + column, weight);
        if (n.bias != nullptr) load_pack<Type, N>(n.bias + column, bias);
#pragma unroll
        for (int i = 0; i < N; ++i) x[p][i] = (x[p][i] - mean) * rstd * weight[i] + bias[i];
        store_pack<Type, N>(x[p], n.y.row(row) + column);
    }
    if (threadIdx.x % kWarp != 0) return;
    if (n.mean != nullptr) n.mean[row] = mean;
    n.rstd[row] = rstd;
}

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
        const bool whole_packs = packs(x) && packs(y) && aligned(n.weight) && aligned(n.bias);
        const bool done = whole_packs && with_row_packs<Type, kMostPacks>(x.columns, [&]<int P>(std::integral_constant<int, P>) {
            launch(forward_rows<Type, P>, {row_blocks(x.rows), kRowThreads}, context.stream, n);
        });
        if (!done) launch(forward<Type>, {row_blocks(x.rows), kRowThreads}, context.stream, n);
    });
}

}  // namespace zerosim::device::cuda
