#include "device/cuda_kernels/attention.cuh"

// The gradient of causal attention: Dao, "FlashAttention-2" (2023), algorithm 2, as two kernels, so that no two blocks write one element and
// the bits do not depend on the schedule: one owns keys (d_k, d_v), one owns queries (d_q). Scores are computed again in both.
// delta = rowsum(d_out * out) of each query lies in the first four bytes of the head's row of d_q until d_q is written.

namespace zerosim::device::cuda {
namespace {

constexpr int kOwned = 64;                               // keys or queries that a block owns, 16 a warp
constexpr unsigned kThreads = kOwned / 16 * kWarp;
/// Rows of the other side met at a time; fewer where the accumulators fill the registers.
template <int kDim>
constexpr int kMet = kDim > 64 ? 32 : 64;

template <class Type>
__device__ float* delta_of(const AttentionOperands<Type>& o, std::int64_t token, int head, int head_dim) {
    return reinterpret_cast<float*>(o.d_q.row(token) + head * head_dim);
}

/// A warp a (token, head).
template <class Type>
__global__ void deltas(AttentionOperands<Type> o, AttentionShape shape, std::int64_t tokens) {
    const std::int64_t index = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp;
    if (index >= tokens * shape.heads) return;
    const std::int64_t token = index / shape.heads;
    const int head = static_cast<int>(index % shape.heads);
    float sum = 0;
    for (int i = static_cast<int>(threadIdx.x % kWarp); i < shape.head_dim; i += kWarp)
        sum += Type::load(o.d_out.row(token)[head * shape.head_dim + i]) * Type::load(o.out.row(token)[head * shape.head_dim + i]);
    sum = warp_sum(sum);
    if (threadIdx.x % kWarp == 0) *delta_of(o, token, head, shape.head_dim) = sum;
}

/// Statistics of the queries met, by row of the tile.
template <class Type>
__device__ void load_statistics(const AttentionOperands<Type>& o, const AttentionShape& shape, std::int64_t begin, std::int64_t first, int count, int head, float* log_sum, float* delta) {
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
        const bool inside = first + i < shape.sequence;
        log_sum[i] = inside ? o.log_sum_exp[(begin + first + i) * shape.heads + head] : 0.0f;
        delta[i] = inside ? *delta_of(o, begin + first + i, head, shape.head_dim) : 0.0f;
    }
}

/// d_k and d_v of 64 keys. Rows of every product are keys, columns queries.
template <class Type, int kDim>
__global__ void __launch_bounds__(kThreads) key_tiles(AttentionOperands<Type> o, AttentionShape shape) {
    constexpr int kStride = kDim + kTilePadding, kQueries = kMet<kDim>;
    ZEROSIM_SHARED(memory);
    auto* const keys = reinterpret_cast<std::uint16_t*>(memory);
    auto* const values = keys + kOwned * kStride;
    auto* const queries = values + kOwned * kStride;
    auto* const d_out = queries + kQueries * kStride;
    auto* const log_sum = reinterpret_cast<float*>(d_out + kQueries * kStride);
    auto* const delta = log_sum + kQueries;
    const int kv_head = static_cast<int>(blockIdx.y) % shape.kv_heads;
    const std::int64_t begin = blockIdx.y / static_cast<unsigned>(shape.kv_heads) * shape.sequence, first = std::int64_t{blockIdx.x} * kOwned;
    const int row = static_cast<int>(threadIdx.x / kWarp) * 16;
    const unsigned lane = threadIdx.x % kWarp;
    load_tile<kOwned, kDim, kThreads>(keys, o.k.row(begin) + kv_head * kDim, o.k.row_stride, first, shape.sequence);
    load_tile<kOwned, kDim, kThreads>(values, o.v.row(begin) + kv_head * kDim, o.v.row_stride, first, shape.sequence);
    Accumulator d_k[kDim / 8], d_v[kDim / 8];
    for (int head = kv_head * shape.group(); head < (kv_head + 1) * shape.group(); ++head)
        for (std::int64_t query = first / kQueries * kQueries; query < shape.sequence; query += kQueries) {
            __syncthreads();
            load_tile<kQueries, kDim, kThreads>(queries, o.q.row(begin) + head * kDim, o.q.row_stride, query, shape.sequence);
            load_tile<kQueries, kDim, kThreads>(d_out, o.d_out.row(begin) + head * kDim, o.d_out.row_stride, query, shape.sequence);
            load_statistics(o, shape, begin, query, kQueries, head, log_sum, delta);
            __syncthreads();
            Accumulator p[kQueries / 8], d_s[kQueries / 8];
            product_by_rows<Type, kQueries, kDim>(p, keys, row, queries);
            product_by_rows<Type, kQueries, kDim>(d_s, values, row, d_out);
#pragma unroll
            for (int n = 0; n < kQueries / 8; ++n)
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int column = n * 8 + static_cast<int>(lane % 4) * 2 + i % 2;
                    const std::int64_t key = first + row + lane / 4 + i / 2 * 8;
                    const bool seen = key <= query + column && query + column < shape.sequence;
                    p[n].values[i] = seen ? __expf(p[n].values[i] * shape.scale - log_sum[column]) : 0.0f;
                    d_s[n].values[i] = p[n].values[i] * (d_s[n].values[i] - delta[column]);
                }
            product_by_columns<Type, kQueries, kDim>(d_v, p, d_out);
            product_by_columns<Type, kQueries, kDim>(d_k, d_s, queries);
        }
    store_rows<Type, kDim>(d_k, shape.scale, shape.scale, o.d_k.row(begin) + kv_head * kDim, o.d_k.row_stride, first + row, shape.sequence);
    store_rows<Type, kDim>(d_v, 1.0f, 1.0f, o.d_v.row(begin) + kv_head * kDim, o.d_v.row_stride, first + row, shape.sequence);
}

/// d_q of 64 queries. Rows of every product are queries, columns keys.
template <class Type, int kDim>
__global__ void __launch_bounds__(kThreads) query_tiles(AttentionOperands<Type> o, AttentionShape shape) {
    constexpr int kStride = kDim + kTilePadding, kKeys = kMet<kDim>;
    ZEROSIM_SHARED(memory);
    auto* const queries = reinterpret_cast<std::uint16_t*>(memory);
    auto* const d_out = queries + kOwned * kStride;
    auto* const keys = d_out + kOwned * kStride;
    auto* const values = keys + kKeys * kStride;
    auto* const log_sum = reinterpret_cast<float*>(values + kKeys * kStride);
    auto* const delta = log_sum + kOwned;
    const int head = static_cast<int>(blockIdx.y) % shape.heads, kv_head = head / shape.group();
    const std::int64_t begin = blockIdx.y / static_cast<unsigned>(shape.heads) * shape.sequence;
    const std::int64_t first = (gridDim.x - 1 - blockIdx.x) * std::int64_t{kOwned};
    const int row = static_cast<int>(threadIdx.x / kWarp) * 16;
    const unsigned lane = threadIdx.x % kWarp;
    load_tile<kOwned, kDim, kThreads>(queries, o.q.row(begin) + head * kDim, o.q.row_stride, first, shape.sequence);
    load_tile<kOwned, kDim, kThreads>(d_out, o.d_out.row(begin) + head * kDim, o.d_out.row_stride, first, shape.sequence);
    load_statistics(o, shape, begin, first, kOwned, head, log_sum, delta);
    Accumulator d_q[kDim / 8];
    const std::int64_t end = first + kOwned < shape.sequence ? first + kOwned : shape.sequence;
    for (std::int64_t key = 0; key < end; key += kKeys) {
        __syncthreads();
        load_tile<kKeys, kDim, kThreads>(keys, o.k.row(begin) + kv_head * kDim, o.k.row_stride, key, shape.sequence);
        load_tile<kKeys, kDim, kThreads>(values, o.v.row(begin) + kv_head * kDim, o.v.row_stride, key, shape.sequence);
        __syncthreads();
        Accumulator p[kKeys / 8], d_s[kKeys / 8];
        product_by_rows<Type, kKeys, kDim>(p, queries, row, keys);
        product_by_rows<Type, kKeys, kDim>(d_s, d_out, row, values);
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int owned = row + static_cast<int>(lane / 4) + i / 2 * 8;
                const bool seen = key + n * 8 + lane % 4 * 2 + i % 2 <= first + owned;
                const float probability = seen ? __expf(p[n].values[i] * shape.scale - log_sum[owned]) : 0.0f;
                d_s[n].values[i] = probability * (d_s[n].values[i] - delta[owned]);
            }
        product_by_columns<Type, kKeys, kDim>(d_q, d_s, keys);
    }
    store_rows<Type, kDim>(d_q, shape.scale, shape.scale, o.d_q.row(begin) + head * kDim, o.d_q.row_stride, first + row, shape.sequence);
}

}  // namespace

void tiled_attention_backward(const KernelCall& call, const LaunchContext& context) {
    const auto& views = call.operands;                   // d_out, q, k, v, out, log_sum_exp, workspace, d_q, d_k, d_v
    const AttentionShape shape = attention_shape(call.attributes);
    const auto run = [&]<class Type>(Type) {
        const AttentionOperands<Type> o = backward_operands<Type>(views);
        const std::int64_t tokens = shape.batch * shape.sequence;
        launch(deltas<Type>, {static_cast<unsigned>((tokens * shape.heads * kWarp + kThreads - 1) / kThreads), kThreads}, context.stream, o, shape, tokens);
        with_head_dim(shape.head_dim, [&](auto dim) {
            constexpr int kDim = decltype(dim)::value;
            constexpr unsigned kTiles = 2 * (kOwned + kMet<kDim>) * (kDim + kTilePadding) * 2;
            const auto blocks = static_cast<unsigned>((shape.sequence + kOwned - 1) / kOwned);
            launch(key_tiles<Type, kDim>, {blocks, kThreads, kTiles + 2 * kMet<kDim> * 4, static_cast<unsigned>(shape.batch * shape.kv_heads)}, context.stream, o, shape);
            launch(query_tiles<Type, kDim>, {blocks, kThreads, kTiles + 2 * kOwned * 4, static_cast<unsigned>(shape.batch * shape.heads)}, context.stream, o, shape);
        });
    };
    views[0].dtype == DType::bf16 ? run(BFloat16{}) : run(Float16{});
}

}  // namespace zerosim::device::cuda
