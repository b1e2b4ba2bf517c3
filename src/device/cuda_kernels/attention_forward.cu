#include "device/cuda_kernels/attention.cuh"

// Causal attention with a running softmax: Dao, "FlashAttention-2" (2023), algorithm 1. A block has 64 queries of one head, a warp 16 of
// them; the probabilities go from one product into the next in registers, and the T x T matrix is never stored.

namespace zerosim::device::cuda {
namespace {

constexpr int kQueries = 64, kKeys = 64;
constexpr unsigned kThreads = kQueries / 16 * kWarp;
constexpr float kNothing = -1e30f;                       // a masked score: its exponential is 0, and differences stay finite

/// Running maximum of the lane's two rows, and its own part of their sums (quad_sum at the end).
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

/// Keys after the query become nothing; `ahead` = first key of the tile - first query of the warp.
__device__ void mask(Accumulator (&scores)[kKeys / 8], int ahead) {
    const int lane = static_cast<int>(threadIdx.x % kWarp), from = ahead + lane % 4 * 2 - lane / 4;
#pragma unroll
    for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
            if (from + n * 8 + i % 2 - i / 2 * 8 > 0) scores[n].values[i] = kNothing;
}

/// Scores become powers of two about the new maximum (`scale` = log2(e) / sqrt(d)); what was summed before is rescaled.
template <int kDim>
__device__ void update(Running& running, Accumulator (&scores)[kKeys / 8], Accumulator (&out)[kDim / 8], float scale) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        float highest = running.maximum[half];
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n) highest = fmaxf(highest, fmaxf(scores[n].values[2 * half], scores[n].values[2 * half + 1]));
        highest = quad_max(highest);
        const float shrink = fast_exp2((running.maximum[half] - highest) * scale), offset = highest * scale;
        float sum = 0;
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; ++i) {
                scores[n].values[i] = fast_exp2(scores[n].values[i] * scale - offset);
                sum += scores[n].values[i];
            }
        running.sum[half] = running.sum[half] * shrink + sum;
        running.maximum[half] = highest;
#pragma unroll
        for (int n = 0; n < kDim / 8; ++n) {
            out[n].values[2 * half] *= shrink;
            out[n].values[2 * half + 1] *= shrink;
        }
    }
}

template <class Type, int kDim>
__global__ void __launch_bounds__(kThreads, kDim > 64 ? 2 : 4) tiles(AttentionOperands<Type> o, AttentionShape shape) {
    constexpr int kStride = kDim + kTilePadding;
    ZEROSIM_SHARED(memory);
    auto* const queries = reinterpret_cast<std::uint16_t*>(memory);
    auto* const keys = queries + kQueries * kStride;     // two of each: the next ones come while these are used
    auto* const values = keys + 2 * kKeys * kStride;
    const TilePlace place = tile_place<kQueries>(shape, shape.heads);
    const int head = place.head, kv_column = head / shape.group() * kDim, sequence = static_cast<int>(shape.sequence);
    const std::int64_t begin = place.begin;
    const int first = static_cast<int>(place.tiles - 1 - place.tile) * kQueries;   // the last see the most keys: they start first
    const int row = static_cast<int>(threadIdx.x / kWarp) * 16;
    TileCopies<kQueries, kDim, kThreads>(o.q.row(begin) + head * kDim, o.q.row_stride, first, sequence).next(queries);
    TileCopies<kKeys, kDim, kThreads> next_keys(o.k.row(begin) + kv_column, o.k.row_stride, 0, sequence), next_values(o.v.row(begin) + kv_column, o.v.row_stride, 0, sequence);
    next_keys.next(keys);
    next_values.next(values);
    await_copies();
    __syncthreads();
    Fragment own[kDim / 16];                             // the warp's queries: the same for every tile of keys
    load_rows<kDim>(own, queries, row);
    Accumulator out[kDim / 8];
    Running running;
    const float scale = shape.scale * kLog2E;
    const int end = first + kQueries < sequence ? first + kQueries : sequence;
    for (int key = 0, stage = 0; key < end; key += kKeys, stage ^= 1) {
        if (key > 0) {
            await_copies();
            __syncthreads();                             // all have this tile, and are done with the one before
        }
        if (key + kKeys < end) {
            next_keys.next(keys + (stage ^ 1) * kKeys * kStride);
            next_values.next(values + (stage ^ 1) * kKeys * kStride);
        }
        Accumulator scores[kKeys / 8];
        product_by_rows<Type, kKeys, kDim>(scores, own, keys + stage * kKeys * kStride);
        const int ahead = key - (first + row);
        if (ahead + kKeys > 1) mask(scores, ahead);      // the same for the whole warp: only tiles at the diagonal pay for it
        update<kDim>(running, scores, out, scale);
        product_by_columns<Type, kKeys, kDim>(out, scores, values + stage * kKeys * kStride);
    }
    for (float& sum : running.sum) sum = quad_sum(sum);
    store_rows<Type, kDim>(out, 1.0f / running.sum[0], 1.0f / running.sum[1], o.out.row(begin) + head * kDim, o.out.row_stride, first + row, sequence);
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    if (lane % 4 != 0) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int query = first + row + lane / 4 + half * 8;
        if (query < sequence) o.log_sum_exp[(begin + query) * shape.heads + head] = running.maximum[half] * shape.scale + __logf(running.sum[half]);
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
            constexpr unsigned kShared = (kQueries + 4 * kKeys) * (kDim + kTilePadding) * 2;
            launch(tiles<Type, kDim>, tile_grid<kQueries>(shape, shape.heads, kThreads, kShared), context.stream, o, shape);
        });
    };
    views[0].dtype == DType::bf16 ? run(BFloat16{}) : run(Float16{});
}

}  // namespace zerosim::device::cuda
