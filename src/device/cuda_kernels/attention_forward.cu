#include "device/cuda_kernels/attention.cuh"

// Causal attention with a running softmax: Dao, "FlashAttention-2" (2023), algorithm 1. A block has 64 queries of one head, a warp 16 of
// them; the probabilities go from one product into the next in registers, and the T x T matrix is never stored.

namespace zerosim::device::cuda {
namespace {

constexpr int kQueries = 64, kKeys = 64;
constexpr unsigned kThreads = kQueries / 16 * kWarp;
constexpr float kNothing = -1e30f;                       // a masked score: its exponential is 0, and differences stay finite

/// Running maximum and sum of the lane's two rows.
struct Running {
    float maximum[2] = {kNothing, kNothing}, sum[2] = {0, 0};
};

/// Over the four lanes that share a row.
__device__ float quad_max(float value) {
    value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1u));
    return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2u));
}
__device__ float quad_sum(float value) {
    value += __shfl_xor_sync(0xffffffffu, value, 1u);
    return value + __shfl_xor_sync(0xffffffffu, value, 2u);
}

__device__ void scale_and_mask(Accumulator (&scores)[kKeys / 8], float scale, std::int64_t query, std::int64_t first_key) {
    const unsigned lane = threadIdx.x % kWarp;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const std::int64_t key = first_key + n * 8 + lane % 4 * 2 + i % 2, row = query + lane / 4 + i / 2 * 8;
            scores[n].values[i] = key <= row ? scores[n].values[i] * scale : kNothing;
        }
}

/// Scores become exponentials about the new maximum; what was summed before is rescaled.
template <int kDim>
__device__ void update(Running& running, Accumulator (&scores)[kKeys / 8], Accumulator (&out)[kDim / 8]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float highest = running.maximum[half];
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) highest = fmaxf(highest, fmaxf(scores[n].values[2 * half], scores[n].values[2 * half + 1]));
        highest = quad_max(highest);
        const float shrink = __expf(running.maximum[half] - highest);
        float sum = 0;
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; ++i) {
                scores[n].values[i] = __expf(scores[n].values[i] - highest);
                sum += scores[n].values[i];
            }
        running.sum[half] = running.sum[half] * shrink + quad_sum(sum);
        running.maximum[half] = highest;
#pragma unroll
        for (int n = 0; n < kDim / 8; ++n) {
            out[n].values[2 * half] *= shrink;
            out[n].values[2 * half + 1] *= shrink;
        }
    }
}

template <class Type, int kDim>
__global__ void __launch_bounds__(kThreads) tiles(AttentionOperands<Type> o, AttentionShape shape) {
    constexpr int kStride = kDim + kTilePadding;
    ZEROSIM_SHARED(memory);
    auto* const queries = reinterpret_cast<std::uint16_t*>(memory);
    auto* const keys = queries + kQueries * kStride;
    auto* const values = keys + kKeys * kStride;
    const int head = static_cast<int>(blockIdx.y) % shape.heads;
    const std::int64_t begin = blockIdx.y / static_cast<unsigned>(shape.heads) * shape.sequence;
    // The last tiles see the most keys: they start first.
    const std::int64_t first = (gridDim.x - 1 - blockIdx.x) * std::int64_t{kQueries};
    const int row = static_cast<int>(threadIdx.x / kWarp) * 16;
    const auto* k = o.k.row(begin) + head / shape.group() * kDim;
    const auto* v = o.v.row(begin) + head / shape.group() * kDim;
    load_tile<kQueries, kDim, kThreads>(queries, o.q.row(begin) + head * kDim, o.q.row_stride, first, shape.sequence);
    Accumulator out[kDim / 8];
    Running running;
    const std::int64_t end = first + kQueries < shape.sequence ? first + kQueries : shape.sequence;
    for (std::int64_t key = 0; key < end; key += kKeys) {
        __syncthreads();
        load_tile<kKeys, kDim, kThreads>(keys, k, o.k.row_stride, key, shape.sequence);
        load_tile<kKeys, kDim, kThreads>(values, v, o.v.row_stride, key, shape.sequence);
        __syncthreads();
        Accumulator scores[kKeys / 8];
        product_by_rows<Type, kKeys, kDim>(scores, queries, row, keys);
        scale_and_mask(scores, shape.scale, first + row, key);
        update<kDim>(running, scores, out);
        product_by_columns<Type, kKeys, kDim>(out, scores, values);
    }
    store_rows<Type, kDim>(out, 1.0f / running.sum[0], 1.0f / running.sum[1], o.out.row(begin) + head * kDim, o.out.row_stride, first + row, shape.sequence);
    const unsigned lane = threadIdx.x % kWarp;
    if (lane % 4 != 0) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const std::int64_t query = first + row + lane / 4 + half * 8;
        if (query < shape.sequence) o.log_sum_exp[(begin + query) * shape.heads + head] = running.maximum[half] + __logf(running.sum[half]);
    }
}

}  // namespace

void tiled_attention_forward(const KernelCall& call, const LaunchContext& context) {
    const auto& views = call.operands;                   // q, k, v, workspace, out, log_sum_exp
    const AttentionShape shape = attention_shape(call.attributes);
    const auto run = [&]<class Type>(Type) {
        const AttentionOperands<Type> o = forward_operands<Type>(views);
        with_head_dim(shape.head_dim, [&](auto dim) {
            constexpr int kDim = decltype(dim)::value;
            constexpr unsigned kShared = (kQueries + 2 * kKeys) * (kDim + kTilePadding) * 2;
            const auto blocks = static_cast<unsigned>((shape.sequence + kQueries - 1) / kQueries);
            launch(tiles<Type, kDim>, {blocks, kThreads, kShared, static_cast<unsigned>(shape.batch * shape.heads)}, context.stream, o, shape);
        });
    };
    views[0].dtype == DType::bf16 ? run(BFloat16{}) : run(Float16{});
}

}  // namespace zerosim::device::cuda
