#include "device/host_kernels/attention_tiles.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/host_kernels/lanes.hpp"
#include "device/host_kernels/vector_math.hpp"

#include <array>
#include <limits>

// Tiled causal attention with a running softmax: Dao, FlashAttention-2 (2023), algorithm 1. The T x T matrix is never stored.

namespace zerosim::device::host {

namespace {

namespace blocking = kernel::host_blocking;

/// Running maximum and sum of exponentials of each query of the tile.
struct Softmax {
    std::array<float, blocking::kQueryTile> maximum, sum;
};

/// Turns a tile of scores into exponentials about the new running maximum, and rescales what was summed before.
void update(Softmax& state, float* scores, float* output, const HeadRows& queries, std::int64_t first_key, std::int64_t keys,
            std::int64_t head_dim) {
    for (std::int64_t i = 0; i < queries.count; ++i) {
        const auto row = static_cast<std::size_t>(i);
        float* s = scores + i * keys;
        const std::int64_t seen = visible(queries.first + i, first_key, keys);
        const float highest = std::max(state.maximum[row], maximum(s, seen));
        for (std::int64_t j = 0; j < seen; ++j) s[j] = fast_exp(s[j] - highest);
        for (std::int64_t j = seen; j < keys; ++j) s[j] = 0.0f;
        const float shrink = fast_exp(state.maximum[row] - highest); // 0 at the first tile: e^-infinity
        state.sum[row] = state.sum[row] * shrink + sum(s, seen);
        state.maximum[row] = highest;
        if (first_key > 0 && shrink != 1.0f)
            for (std::int64_t c = 0; c < head_dim; ++c) output[i * head_dim + c] *= shrink;
    }
}

template <class Type>
void finish(const Softmax& state, float* output, const HeadRows& queries, const TensorView& out, const TensorView& log_sum_exp,
            std::int64_t head_dim) {
    for (std::int64_t i = 0; i < queries.count; ++i) {
        const auto row = static_cast<std::size_t>(i);
        const float inverse = 1.0f / state.sum[row];
        for (std::int64_t c = 0; c < head_dim; ++c) output[i * head_dim + c] *= inverse;
        row_of<Float32>(log_sum_exp, queries.sequence_begin + queries.first + i)[queries.head] =
            state.maximum[row] + std::log(state.sum[row]);
    }
    store_tile<Type>(output, out, queries, head_dim);
}

template <class Type>
void query_tile(const KernelCall& call, const AttentionShape& shape, const HeadRows& queries, Scratch scratch) {
    const auto& o = call.operands; // q, k, v, workspace, out, log_sum_exp
    const std::int64_t d = shape.head_dim, kv_head = queries.head / shape.group();
    const std::int64_t tile_queries = blocking::query_tile(call.attributes), tile_keys = blocking::key_tile(call.attributes);
    float* scores = scratch.take(tile_queries * tile_keys);
    float* output = scratch.take(tile_queries * d);
    float* q_panel = Type::two_bytes ? scratch.take(tile_queries * d) : nullptr;
    float* k_panel = Type::two_bytes ? scratch.take(tile_keys * d) : nullptr;
    float* v_panel = Type::two_bytes ? scratch.take(tile_keys * d) : nullptr;

    const MatrixOperand q = tile<Type>(o[0], queries, d, q_panel);
    Softmax state;
    state.maximum.fill(-std::numeric_limits<float>::infinity());
    state.sum.fill(0.0f);
    const std::int64_t end = queries.first + queries.count; // no query of the tile sees a key from here on
    for (std::int64_t first = 0; first < end; first += tile_keys) {
        const HeadRows keys{queries.sequence_begin, kv_head, first, std::min(tile_keys, end - first)};
        MatrixOperand k = tile<Type>(o[1], keys, d, k_panel);
        const MatrixOperand v = tile<Type>(o[2], keys, d, v_panel);
        k.transposed = true;
        sgemm(queries.count, keys.count, d, shape.scale, q, k, 0.0f, scores, keys.count);
        update(state, scores, output, queries, first, keys.count, d);
        sgemm(queries.count, d, keys.count, 1.0f, {scores, keys.count}, v, first == 0 ? 0.0f : 1.0f, output, d);
    }
    finish<Type>(state, output, queries, o[4], o[5], d);
}

} // namespace

void attention_forward(const KernelCall& call) {
    const kernel::Attributes& a = call.attributes;
    const AttentionShape shape(a);
    const TensorView& q = call.operands[0];
    const TensorView& workspace = call.operands[3];
    const bool two_bytes = size_of(q.dtype) == 2;
    const std::int64_t tiles = blocking::blocks(shape.sequence, blocking::kQueryTile), rows = shape.batch * shape.heads;
    const std::int64_t slot_floats = blocking::attention_forward_slot(a, two_bytes);
    const std::int64_t slots = attention_slots(call, rows * tiles);
    check_workspace(workspace, slots, slot_floats);
    for_each_task(call.context.workers, rows * tiles, slots, [&](std::int64_t task, std::int64_t slot) {
        // The last tiles see the most keys: they go first, so that the threads end together.
        const std::int64_t first = (tiles - 1 - task / rows) * blocking::kQueryTile, row = task % rows;
        const HeadRows queries{row / shape.heads * shape.sequence, row % shape.heads, first,
                               std::min(blocking::kQueryTile, shape.sequence - first)};
        with_float_type(
            q.dtype, [&](auto type) { query_tile<decltype(type)>(call, shape, queries, Scratch(workspace, slot, slot_floats)); });
    });
}

} // namespace zerosim::device::host
