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

constexpr float kNothing = -1e30f;                       // a masked score: its power is 0

/// Scores above the diagonal, where key > query, become nothing. `ahead` = first key - first query; kKeysAreRows: which of the two the rows are.
template <bool kKeysAreRows, int kColumns>
__device__ void mask(Accumulator (&scores)[kColumns / 8], int ahead) {
    const int lane = static_cast<int>(threadIdx.x % kWarp), row = lane / 4, column = lane % 4 * 2;
    const int from = ahead + (kKeysAreRows ? row - column : column - row);
#pragma unroll
    for (int n = 0; n < kColumns / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            const int apart = i / 2 * 8 - (n * 8 + i % 2);   // rows less columns
            if (from + (kKeysAreRows ? apart : -apart) > 0) scores[n].values[i] = kNothing;
        }
}

/// Statistics of the queries met, by row of the tile; the logarithm in base 2.
template <class Type>
__device__ void load_statistics(const AttentionOperands<Type>& o, const AttentionShape& shape, std::int64_t begin, std::int64_t first, int count, int head, float* log_sum, float* delta) {
    for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) {
        const bool inside = first + i < shape.sequence;
        log_sum[i] = inside ? o.log_sum_exp[(begin + first + i) * shape.heads + head] * kLog2E : 0.0f;
        delta[i] = inside ? *delta_of(o, begin + first + i, head, shape.head_dim) : 0.0f;
    }
}

/// d_k and d_v of 64 keys. Rows of every product are keys, columns queries. Queries beyond the sequence are zero, and so are their parts.
template <class Type, int kDim>
__global__ void __launch_bounds__(kThreads, kDim > 64 ? 2 : 3) key_tiles(AttentionOperands<Type> o, AttentionShape shape) {
    constexpr int kStride = kDim + kTilePadding, kQueries = kMet<kDim>, kTile = kQueries * kStride;
    ZEROSIM_SHARED(memory);
    auto* const keys = reinterpret_cast<std::uint16_t*>(memory);
    auto* const values = keys + kOwned * kStride;
    auto* const met = values + kOwned * kStride;         // queries and d_out, two of each
    auto* const statistics = reinterpret_cast<float*>(met + 4 * kTile);
    const TilePlace place = tile_place<kOwned>(shape, shape.kv_heads);
    const int kv_head = place.head;
    const std::int64_t begin = place.begin, first = std::int64_t{place.tile} * kOwned;
    const int row = static_cast<int>(threadIdx.x / kWarp) * 16;
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const float scale = shape.scale * kLog2E;
    const std::int64_t start = first / kQueries * kQueries, tiles_of_head = (shape.sequence - start + kQueries - 1) / kQueries;
    const auto load_met = [&](std::int64_t tile) {
        const int head = kv_head * shape.group() + static_cast<int>(tile / tiles_of_head), stage = static_cast<int>(tile % 2);
        const std::int64_t query = start + tile % tiles_of_head * kQueries;
        load_tile<kQueries, kDim, kThreads>(met + 2 * stage * kTile, o.q.row(begin) + head * kDim, o.q.row_stride, query, shape.sequence);
        load_tile<kQueries, kDim, kThreads>(met + (2 * stage + 1) * kTile, o.d_out.row(begin) + head * kDim, o.d_out.row_stride, query, shape.sequence);
        load_statistics(o, shape, begin, query, kQueries, head, statistics + 2 * stage * kQueries, statistics + (2 * stage + 1) * kQueries);
    };
    load_tile<kOwned, kDim, kThreads>(keys, o.k.row(begin) + kv_head * kDim, o.k.row_stride, first, shape.sequence);
    load_tile<kOwned, kDim, kThreads>(values, o.v.row(begin) + kv_head * kDim, o.v.row_stride, first, shape.sequence);
    load_met(0);
    Accumulator d_k[kDim / 8], d_v[kDim / 8];
    for (std::int64_t tile = 0; tile < tiles_of_head * shape.group(); ++tile) {
        await_copies();
        __syncthreads();                                 // all have this tile, and are done with the one before
        if (tile + 1 < tiles_of_head * shape.group()) load_met(tile + 1);
        const int stage = static_cast<int>(tile % 2);
        const auto *queries = met + 2 * stage * kTile, *d_out = queries + kTile;
        const float *log_sum = statistics + 2 * stage * kQueries, *delta = log_sum + kQueries;
        Accumulator p[kQueries / 8], d_s[kQueries / 8];
        product_by_rows<Type, kQueries, kDim>(p, keys, row, queries);
        product_by_rows<Type, kQueries, kDim>(d_s, values, row, d_out);
        const int ahead = static_cast<int>(first + row - (start + tile % tiles_of_head * kQueries));
        if (ahead + 16 > 1) mask<true, kQueries>(p, ahead);
#pragma unroll
        for (int n = 0; n < kQueries / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int column = n * 8 + lane % 4 * 2 + i % 2;
                p[n].values[i] = fast_exp2(p[n].values[i] * scale - log_sum[column]);
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
__global__ void __launch_bounds__(kThreads, kDim > 64 ? 2 : 4) query_tiles(AttentionOperands<Type> o, AttentionShape shape) {
    constexpr int kStride = kDim + kTilePadding, kKeys = kMet<kDim>, kTile = kKeys * kStride;
    ZEROSIM_SHARED(memory);
    auto* const queries = reinterpret_cast<std::uint16_t*>(memory);
    auto* const d_out = queries + kOwned * kStride;
    auto* const met = d_out + kOwned * kStride;          // keys and values, two of each
    const TilePlace place = tile_place<kOwned>(shape, shape.heads);
    const int head = place.head, kv_head = head / shape.group();
    const std::int64_t begin = place.begin, first = (place.tiles - 1 - place.tile) * std::int64_t{kOwned};
    const int row = static_cast<int>(threadIdx.x / kWarp) * 16;
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const float scale = shape.scale * kLog2E;
    const auto load_met = [&](std::int64_t key) {
        auto* const stage = met + key / kKeys % 2 * 2 * kTile;
        load_tile<kKeys, kDim, kThreads>(stage, o.k.row(begin) + kv_head * kDim, o.k.row_stride, key, shape.sequence);
        load_tile<kKeys, kDim, kThreads>(stage + kTile, o.v.row(begin) + kv_head * kDim, o.v.row_stride, key, shape.sequence);
    };
    load_tile<kOwned, kDim, kThreads>(queries, o.q.row(begin) + head * kDim, o.q.row_stride, first, shape.sequence);
    load_tile<kOwned, kDim, kThreads>(d_out, o.d_out.row(begin) + head * kDim, o.d_out.row_stride, first, shape.sequence);
    load_met(0);
    float log_sum[2], delta[2];                          // of the lane's two rows
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const std::int64_t query = first + row + lane / 4 + half * 8;
        log_sum[half] = query < shape.sequence ? o.log_sum_exp[(begin + query) * shape.heads + head] * kLog2E : 0.0f;
        delta[half] = query < shape.sequence ? *delta_of(o, begin + query, head, kDim) : 0.0f;
    }
    Accumulator d_q[kDim / 8];
    const std::int64_t end = first + kOwned < shape.sequence ? first + kOwned : shape.sequence;
    for (std::int64_t key = 0; key < end; key += kKeys) {
        await_copies();
        __syncthreads();
        if (key + kKeys < end) load_met(key + kKeys);
        const auto *keys = met + key / kKeys % 2 * 2 * kTile, *values = keys + kTile;
        Accumulator p[kKeys / 8], d_s[kKeys / 8];
        product_by_rows<Type, kKeys, kDim>(p, queries, row, keys);
        product_by_rows<Type, kKeys, kDim>(d_s, d_out, row, values);
        const int ahead = static_cast<int>(key - (first + row));
        if (ahead + kKeys > 1) mask<false, kKeys>(p, ahead);
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) d_s[n].values[i] = fast_exp2(p[n].values[i] * scale - log_sum[i / 2]) * (d_s[n].values[i] - delta[i / 2]);
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
            constexpr unsigned kTiles = 2 * (kOwned + 2 * kMet<kDim>) * (kDim + kTilePadding) * 2;
            launch(key_tiles<Type, kDim>, tile_grid<kOwned>(shape, shape.kv_heads, kThreads, kTiles + 4 * kMet<kDim> * 4), context.stream, o, shape);
            launch(query_tiles<Type, kDim>, tile_grid<kOwned>(shape, shape.heads, kThreads, kTiles), context.stream, o, shape);
        });
    };
    views[0].dtype == DType::bf16 ? run(BFloat16{}) : run(Float16{});
}

}  // namespace zerosim::device::cuda
