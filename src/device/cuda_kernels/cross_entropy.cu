#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"

// Softmax cross-entropy over the real vocabulary, in place: forward keeps one log-sum-exp a token, backward turns logits into their gradient.
// One block a token; the running maximum and sum of Milakov, Gimelshein 2018, "Online normalizer calculation for softmax", algorithm 3.

namespace zerosim::device::cuda {
namespace {

constexpr unsigned kThreads = 256;
constexpr unsigned kLossThreads = 1024;                  // of the one block that adds the losses: each load waits for the one of its target
constexpr float kNothing = -3.4e38f;                     // below every logit; minus infinity would give NaN against itself

struct Softmax {
    float maximum = kNothing;
    double sum = 0;
    /// Neighbours are added in fp32, and their sum in fp64.
    template <int N>
    __device__ void add(const float (&logits)[N]) {
        float highest = logits[0], part = 0;
#pragma unroll
        for (int i = 1; i < N; ++i) highest = fmaxf(highest, logits[i]);
        if (highest > maximum) {
            sum *= static_cast<double>(fast_exp2((maximum - highest) * kLog2E));
            maximum = highest;
        }
#pragma unroll
        for (int i = 0; i < N; ++i) part += fast_exp2((logits[i] - maximum) * kLog2E);
        sum += static_cast<double>(part);
    }
    __device__ void merge(float other_maximum, double other_sum) {
        const float highest = fmaxf(maximum, other_maximum);
        sum = sum * static_cast<double>(fast_exp2((maximum - highest) * kLog2E)) + other_sum * static_cast<double>(fast_exp2((other_maximum - highest) * kLog2E));
        maximum = highest;
    }
};

__device__ Softmax block_merge(Softmax mine) {
    __shared__ float maxima[kThreads / kWarp];
    __shared__ double sums[kThreads / kWarp];
    for (unsigned lane = kWarp / 2; lane > 0; lane /= 2) {
        const float maximum = __shfl_xor_sync(0xffffffffu, mine.maximum, lane);
        const double sum = __shfl_xor_sync(0xffffffffu, mine.sum, lane);
        mine.merge(maximum, sum);
    }
    if (threadIdx.x % kWarp == 0) {
        maxima[threadIdx.x / kWarp] = mine.maximum;
        sums[threadIdx.x / kWarp] = mine.sum;
    }
    __syncthreads();
    Softmax all;
    for (unsigned warp = 0; warp < kThreads / kWarp; ++warp) all.merge(maxima[warp], sums[warp]);
    return all;
}

/// log(sum(exp)) of every token.
template <class Type, int N>
__global__ void log_sums(Matrix<Type> logits, std::int64_t columns, float* log_sum_exp) {
    const std::int64_t row = blockIdx.x;
    const auto* x = logits.row(row);
    Softmax mine;
    const std::int64_t whole = columns / N * N;
#pragma unroll 4
    for (std::int64_t i = std::int64_t{threadIdx.x} * N; i < whole; i += kThreads * N) {
        float values[N];
        load_pack<Type, N>(x + i, values);
        mine.add(values);
    }
    for (std::int64_t i = whole + threadIdx.x; i < columns; i += kThreads) {
        const float value[1] = {Type::load(x[i])};
        mine.add(value);
    }
    const Softmax all = block_merge(mine);
    if (threadIdx.x == 0) log_sum_exp[row] = static_cast<float>(static_cast<double>(all.maximum) + log(all.sum));
}

/// Adds all tokens' losses: one block, each thread its own tokens in order, then the threads in a fixed order.
template <class Type>
__global__ void total_loss(Matrix<Type> logits, const std::int32_t* targets, const float* log_sum_exp, std::int64_t rows, double weight, double* loss) {
    __shared__ double sums[kLossThreads / kWarp];
    double sum = 0;
#pragma unroll 4
    for (std::int64_t row = threadIdx.x; row < rows; row += kLossThreads)
        sum += static_cast<double>(log_sum_exp[row]) - static_cast<double>(Type::load(logits.row(row)[targets[row]]));
    sum = warp_sum(sum);
    if (threadIdx.x % kWarp == 0) sums[threadIdx.x / kWarp] = sum;
    __syncthreads();
    if (threadIdx.x != 0) return;
    double total = 0;
    for (unsigned i = 0; i < kLossThreads / kWarp; ++i) total += sums[i];
    *loss += weight * total;
}

template <class Type, int N>
__global__ void gradient(Matrix<Type> logits, const std::int32_t* targets, const float* log_sum_exp, const float* loss_scale, double loss_weight, std::int64_t real,
                         std::int64_t columns, Matrix<Type> d_logits) {
    const std::int64_t row = blockIdx.x;
    const float sum = log_sum_exp[row];
    const float weight = static_cast<float>(loss_weight * (loss_scale == nullptr ? 1.0 : static_cast<double>(*loss_scale)));
    const std::int64_t target = targets[row];
    for (std::int64_t i = std::int64_t{threadIdx.x} * N; i < columns; i += kThreads * N) {
        float values[N];
        load_pack<Type, N>(logits.row(row) + i, values);
        const int hit = target - i >= 0 && target - i < N ? static_cast<int>(target - i) : -1, inside = real - i < N ? static_cast<int>(real - i) : N;
#pragma unroll
        for (int k = 0; k < N; ++k) {
            const float probability = fast_exp2((values[k] - sum) * kLog2E);
            values[k] = k < inside ? (probability - (k == hit ? 1.0f : 0.0f)) * weight : 0.0f;
        }
        store_pack<Type, N>(values, d_logits.row(row) + i);
    }
}

}  // namespace

void cross_entropy_forward(const KernelCall& call, const LaunchContext& context) {
    const TensorView &logits = call.operands[0], &targets = call.operands[1];
    const std::int64_t columns = call.attributes.real_vocabulary;
    check(columns > 0 && columns <= logits.columns, "cross-entropy: real_vocabulary must be within the logits' columns");
    auto* saved = call.operands[2].as<float>();
    const auto* target = targets.as<const std::int32_t>();
    with_float_type(logits.dtype, [&](auto type) {
        using Type = decltype(type);
        const Grid grid{static_cast<unsigned>(logits.rows), kThreads};
        if (packs(logits)) launch(log_sums<Type, Type::kPack>, grid, context.stream, matrix<Type>(logits), columns, saved);
        else launch(log_sums<Type, 1>, grid, context.stream, matrix<Type>(logits), columns, saved);
        launch(total_loss<Type>, {1, kLossThreads}, context.stream, matrix<Type>(logits), target, static_cast<const float*>(saved), logits.rows, call.attributes.loss_weight,
               call.operands[3].as<double>());
    });
}

void cross_entropy_backward(const KernelCall& call, const LaunchContext& context) {
    const TensorView &logits = call.operands[0], &targets = call.operands[1], &d_logits = call.operands[4];
    const auto run = [&]<class Type, int N>(Type, std::integral_constant<int, N>) {
        launch(gradient<Type, N>, {static_cast<unsigned>(logits.rows), kThreads}, context.stream, matrix<Type>(logits), targets.as<const std::int32_t>(),
               call.operands[2].as<const float>(), call.operands[3].as<const float>(), call.attributes.loss_weight, call.attributes.real_vocabulary, d_logits.columns,
               matrix<Type>(d_logits));
    };
    with_float_type(logits.dtype, [&](auto type) {
        using Type = decltype(type);
        if (packs(logits) && packs(d_logits)) run(Type{}, std::integral_constant<int, Type::kPack>{});
        else run(Type{}, std::integral_constant<int, 1>{});
    });
}

}  // namespace zerosim::device::cuda
