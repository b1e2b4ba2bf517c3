#include "device/cuda_kernels/attention.cuh"

// The gradient of causal attention: Dao, "FlashAttention-2" (2023), algorithm 2, as two kernels, so that no two blocks write one element and
// the bits do not depend on the schedule: one owns keys (d_k, d_v), one owns queries (d_q). Scores are computed again in both.
// What both need to know of a query, its log-sum-exp and delta = rowsum(d_out * out), lies in the first eight bytes of the head's row of d_q until d_q is
// written: side by side, so that it comes beside the tiles in one asynchronous copy.

namespace zerosim::device::cuda {
namespace {

constexpr int kOwned = 64;                               // keys or queries that a block owns, 16 a warp
constexpr unsigned kThreads = kOwned / 16 * kWarp;
/// Rows of the other side met at a time; fewer where the accumulators fill the registers.
template <int kDim>
constexpr int kMet = kDim > 64 ? 32 : 64;

struct alignas(8) Statistics {
    float log_sum, delta;                                // the logarithm in base 2
};
template <class Type>
__device__ Statistics* statistics_of(const AttentionOperands<Type>& o, std::int64_t token, int column) {
    return reinterpret_cast<Statistics*>(o.d_q.row(token) + column);
}

/// Statistics of every (token, head): some lanes of a warp each, a pack of 16 bytes a lane.
template <class Type, int kDim>
__global__ void query_statistics(AttentionOperands<Type> o, int heads, std::int64_t rows) {
    constexpr unsigned kPacks = kDim / 8, kLanes = kPacks <= 4 ? 4 : kPacks <= 8 ? 8 : 16;
    const std::int64_t index = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) / kLanes, token = index / heads;
    const unsigned lane = threadIdx.x % kLanes;
    const int column = static_cast<int>(index - token * heads) * kDim;
    float d_out[8] = {}, out[8] = {}, sum = 0;
    if (index < rows && lane < kPacks) {
        load_pack<Type, 8>(o.d_out.row(token) + column + lane * 8, d_out);
        load_pack<Type, 8>(o.out.row(token) + column + lane * 8, out);
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) sum += d_out[i] * out[i];
    for (unsigned step = kLanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (index < rows && lane == 0) *statistics_of(o, token, column) = {o.log_sum_exp[index] * kLog2E, sum};
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

/// Everything of the queries of a kv-head, tile by tile and head by head: queries, d_out and statistics.
template <class Type, int kDim, int kQueries>
class QueryTiles {
public:
    __device__ QueryTiles(const AttentionOperands<Type>& o, std::int64_t begin, int column, int start, int end)
        : queries_(o.q.row(begin) + column, o.q.row_stride, start, end), d_out_(o.d_out.row(begin) + column, o.d_out.row_stride, start, end) {
        restart(o, begin, column, start, end);
    }
    __device__ void restart(const AttentionOperands<Type>& o, std::int64_t begin, int column, int start, int end) {
        queries_.restart(o.q.row(begin) + column, o.q.row_stride, start, end);
        d_out_.restart(o.d_out.row(begin) + column, o.d_out.row_stride, start, end);
        at_ = start + static_cast<int>(threadIdx.x);
        statistics_ = o.d_q.row(begin + at_) + column;
    }
    __device__ void next(const AttentionOperands<Type>& o, int end, std::uint16_t* tiles, Statistics* statistics) {
        queries_.next(tiles);
        d_out_.next(tiles + kQueries * (kDim + kTilePadding));
        if (threadIdx.x < kQueries) copy_async<8>(statistics + threadIdx.x, statistics_, at_ < end);
        at_ += kQueries;
        statistics_ += kQueries * o.d_q.row_stride;
    }

private:
    TileCopies<kQueries, kDim, kThreads> queries_, d_out_;
    int at_ = 0;
    const std::uint16_t* statistics_ = nullptr;
};

/// d_k and d_v of 64 keys. Rows of every product are keys, columns queries. Queries beyond the sequence are zero, and so are their parts.
template <class Type, int kDim>
__global__ void __launch_bounds__(kThreads, kDim > 64 ? 2 : 3) key_tiles(AttentionOperands<Type> o, AttentionShape shape) {
    constexpr int kStride = kDim + kTilePadding, kQueries = kMet<kDim>, kTile = kQueries * kStride;
    ZEROSIM_SHARED(memory);
    auto* const keys = reinterpret_cast<std::uint16_t*>(memory);
    auto *const values = keys + kOwned * kStride, *const met = values + kOwned * kStride;   // met: queries and d_out, two of each
    auto* const statistics = reinterpret_cast<Statistics*>(met + 4 * kTile);
    const TilePlace place = tile_place<kOwned>(shape, shape.kv_heads);
    const std::int64_t begin = place.begin;
    const int first = static_cast<int>(place.tile) * kOwned, sequence = static_cast<int>(shape.sequence);
    const int row = static_cast<int>(threadIdx.x / kWarp) * 16, lane = static_cast<int>(threadIdx.x % kWarp);
    const float scale = shape.scale * kLog2E;
    TileCopies<kOwned, kDim, kThreads>(o.k.row(begin) + place.head * kDim, o.k.row_stride, first, sequence).next(keys);
    TileCopies<kOwned, kDim, kThreads>(o.v.row(begin) + place.head * kDim, o.v.row_stride, first, sequence).next(values);
    int column = place.head * shape.group() * kDim;      // of the query heads of this key head, one after the other
    const int end_column = column + shape.group() * kDim;
    QueryTiles<Type, kDim, kQueries> next_queries(o, begin, column, first, sequence);
    next_queries.next(o, sequence, met, statistics);
    Accumulator d_k[kDim / 8], d_v[kDim / 8];
    for (int query = first, stage = 0; column < end_column; stage ^= 1) {
        await_copies();
        __syncthreads();                                 // all have this tile, and are done with the one before
        const int ahead = first + row - query;
        query += kQueries;
        if (query >= sequence) {                         // the next query head
            query = first;
            column += kDim;
            if (column < end_column) next_queries.restart(o, begin, column, first, sequence);
        }
        if (column < end_column) next_queries.next(o, sequence, met + 2 * (stage ^ 1) * kTile, statistics + (stage ^ 1) * kQueries);
        const auto *queries = met + 2 * stage * kTile, *d_out = queries + kTile;
        const Statistics* const of_query = statistics + stage * kQueries;
        Accumulator p[kQueries / 8], d_s[kQueries / 8];
        product_by_rows<Type, kQueries, kDim>(p, keys, row, queries);
        product_by_rows<Type, kQueries, kDim>(d_s, values, row, d_out);
        if (ahead + 16 > 1) mask<true, kQueries>(p, ahead);
#pragma unroll
        for (int n = 0; n < kQueries / 8; ++n) {
            const auto pair = *reinterpret_cast<const Pack<float, 4>*>(of_query + n * 8 + lane % 4 * 2);   // of two columns
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                p[n].values[i] = fast_exp2(p[n].values[i] * scale - pair.values[i % 2 * 2]);
                d_s[n].values[i] = p[n].values[i] * (d_s[n].values[i] - pair.values[i % 2 * 2 + 1]);
            }
        }
        product_by_columns<Type, kQueries, kDim>(d_v, p, d_out);
        product_by_columns<Type, kQueries, kDim>(d_k, d_s, queries);
    }
    store_rows<Type, kDim>(d_k, shape.scale, shape.scale, o.d_k.row(begin) + place.head * kDim, o.d_k.row_stride, first + row, sequence);
    store_rows<Type, kDim>(d_v, 1.0f, 1.0f, o.d_v.row(begin) + place.head * kDim, o.d_v.row_stride, first + row, sequence);
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
    const int column = place.head * kDim, kv_column = place.head / shape.group() * kDim, sequence = static_cast<int>(shape.sequence);
    const std::int64_t begin = place.begin;
    const int first = static_cast<int>(place.tiles - 1 - place.tile) * kOwned;
    const int row = static_cast<int>(threadIdx.x / kWarp) * 16, lane = static_cast<int>(threadIdx.x % kWarp);
    const float scale = shape.scale * kLog2E;
    TileCopies<kOwned, kDim, kThreads>(o.q.row(begin) + column, o.q.row_stride, first, sequence).next(queries);
    TileCopies<kOwned, kDim, kThreads>(o.d_out.row(begin) + column, o.d_out.row_stride, first, sequence).next(d_out);
    TileCopies<kKeys, kDim, kThreads> next_keys(o.k.row(begin) + kv_column, o.k.row_stride, 0, sequence), next_values(o.v.row(begin) + kv_column, o.v.row_stride, 0, sequence);
    next_keys.next(met);
    next_values.next(met + kTile);
    Statistics of_row[2] = {};                           // of the lane's two rows
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int query = first + row + lane / 4 + half * 8;
        if (query < sequence) of_row[half] = *statistics_of(o, begin + query, column);
    }
    Accumulator d_q[kDim / 8];
    const int end = first + kOwned < sequence ? first + kOwned : sequence;
    for (int key = 0, stage = 0; key < end; key += kKeys, stage ^= 1) {
        await_copies();
        __syncthreads();
        if (key + kKeys < end) {
            next_keys.next(met + 2 * (stage ^ 1) * kTile);
            next_values.next(met + (2 * (stage ^ 1) + 1) * kTile);
        }
        const auto *keys = met + 2 * stage * kTile, *values = keys + kTile;
        Accumulator p[kKeys / 8], d_s[kKeys / 8];
        product_by_rows<Type, kKeys, kDim>(p, queries, row, keys);
        product_by_rows<Type, kKeys, kDim>(d_s, d_out, row, values);
        const int ahead = key - (first + row);
        if (ahead + kKeys > 1) mask<false, kKeys>(p, ahead);
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
            for (int i = 0; i < 4; ++i) d_s[n].values[i] = fast_exp2(p[n].values[i] * scale - of_row[i / 2].log_sum) * (d_s[n].values[i] - of_row[i / 2].delta);
        product_by_columns<Type, kKeys, kDim>(d_q, d_s, keys);
    }
    store_rows<Type, kDim>(d_q, shape.scale, shape.scale, o.d_q.row(begin) + column, o.d_q.row_stride, first + row, sequence);
}

}  // namespace

void tiled_attention_backward(const KernelCall& call, const LaunchContext& context) {
    const auto& views = call.operands;                   // d_out, q, k, v, out, log_sum_exp, workspace, d_q, d_k, d_v
    const AttentionShape shape = attention_shape(call.attributes);
    const auto run = [&]<class Type>(Type) {
        const AttentionOperands<Type> o = backward_operands<Type>(views);
        const std::int64_t rows = shape.batch * shape.sequence * shape.heads;
        with_head_dim(shape.head_dim, [&](auto dim) {
            constexpr int kDim = decltype(dim)::value;
            constexpr std::int64_t kRowsOfBlock = kThreads / (kDim <= 32 ? 4 : kDim <= 64 ? 8 : 16);   // as query_statistics shares its lanes
            launch(query_statistics<Type, kDim>, {static_cast<unsigned>((rows + kRowsOfBlock - 1) / kRowsOfBlock), kThreads}, context.stream, o, shape.heads, rows);
            constexpr unsigned kTiles = 2 * (kOwned + 2 * kMet<kDim>) * (kDim + kTilePadding) * 2;
            launch(key_tiles<Type, kDim>, tile_grid<kOwned>(shape, shape.kv_heads, kThreads, kTiles + 2 * kMet<kDim> * sizeof(Statistics)), context.stream, o, shape);
            launch(query_tiles<Type, kDim>, tile_grid<kOwned>(shape, shape.heads, kThreads, kTiles), context.stream, o, shape);
        });
    };
    views[0].dtype == DType::bf16 ? run(BFloat16{}) : run(Float16{});
}

}  // namespace zerosim::device::cuda
