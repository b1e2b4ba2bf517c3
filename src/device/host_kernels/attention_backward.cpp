#include "device/host_kernels/attention_tiles.hpp"
#include "device/host_kernels/host_kernels.hpp"
#include "device/host_kernels/lanes.hpp"
#include "device/host_kernels/vector_math.hpp"

#include <array>

// Gradients of causal attention, scores recomputed tile by tile from log_sum_exp: Dao, FlashAttention-2 (2023), algorithm 2, with
// queries in the outer loop, so that the row sums D need no memory. One thread owns a key/value head and all its query heads.

namespace zerosim::device::host {

namespace {

namespace blocking = kernel::host_blocking;
static_assert(blocking::kQueryTile % blocking::kKeyTile == 0, "the first query tile that meets a key tile must see all of it");

/// One key/value head of one sequence, and the slot's buffers (null where fp32 works in place).
struct HeadTask {
    const KernelCall& call;
    const AttentionShape& shape;
    std::int64_t sequence_begin, kv_head;
    float *scores, *d_scores;
    float *q, *d_out, *d_q, *k, *v; // panels of one tile
    float *d_k, *d_v;               // sums over the sequence
};

/// D[i] = sum over the head of d_out * out: the softmax' part of the gradient that all keys share.
template <class Type>
void row_dots(const HeadTask& task, const HeadRows& queries, float* dots) {
    const std::int64_t d = task.shape.head_dim;
    const TensorView &d_out = task.call.operands[0], &out = task.call.operands[4];
    std::array<float, 256> left, right;
    for (std::int64_t i = 0; i < queries.count; ++i) {
        const auto* x = tile_data<Type>(d_out, queries, d) + i * d_out.row_stride;
        const auto* y = tile_data<Type>(out, queries, d) + i * out.row_stride;
        dots[i] = 0;
        for (std::int64_t c = 0; c < d; c += 256) {
            const std::int64_t count = std::min<std::int64_t>(256, d - c);
            if constexpr (Type::two_bytes) {
                load_row<Type>(x + c, left.data(), count);
                load_row<Type>(y + c, right.data(), count);
                dots[i] += dot(left.data(), right.data(), count);
            } else {
                dots[i] += dot(x + c, y + c, count);
            }
        }
    }
}

/// scores -> probabilities P, d_scores (= d_out V^T) -> scale * P * (d_scores - D).
void softmax_gradient(const HeadTask& task, const HeadRows& queries, const HeadRows& keys, const float* dots) {
    const TensorView& log_sum_exp = task.call.operands[5];
    const float scale = task.shape.scale;
    for (std::int64_t i = 0; i < queries.count; ++i) {
        float* __restrict p = task.scores + i * keys.count;
        float* __restrict g = task.d_scores + i * keys.count;
        const float log_sum = row_of<Float32>(log_sum_exp, queries.sequence_begin + queries.first + i)[queries.head];
        const float shared = dots[i];
        const std::int64_t seen = visible(queries.first + i, keys.first, keys.count);
        for (std::int64_t j = 0; j < seen; ++j) {
            const float probability = fast_exp(p[j] - log_sum);
            p[j] = probability;
            g[j] = scale * probability * (g[j] - shared);
        }
        for (std::int64_t j = seen; j < keys.count; ++j) p[j] = g[j] = 0.0f;
    }
}

/// Where a gradient's tile is summed: in the tensor itself for fp32, else in the slot.
struct Sum {
    float* data;
    std::int64_t stride;
};

template <class Type>
Sum sum_at(const TensorView& view, const HeadRows& rows, std::int64_t head_dim, float* panel, std::int64_t panel_row) {
    if constexpr (Type::two_bytes)
        return {panel + panel_row * head_dim, head_dim};
    else
        return {tile_data<Type>(view, rows, head_dim), view.row_stride};
}

template <class Type>
void query_tile(const HeadTask& task, const HeadRows& queries, bool first_head) {
    const auto& o = task.call.operands; // d_out, q, k, v, out, log_sum_exp, workspace, d_q, d_k, d_v
    const std::int64_t d = task.shape.head_dim, tile_keys = blocking::key_tile(task.call.attributes);
    const MatrixOperand d_out = tile<Type>(o[0], queries, d, task.d_out), q = tile<Type>(o[1], queries, d, task.q);
    const Sum d_q = sum_at<Type>(o[7], queries, d, task.d_q, 0);
    std::array<float, blocking::kQueryTile> dots;
    row_dots<Type>(task, queries, dots.data());
    const std::int64_t end = queries.first + queries.count;
    for (std::int64_t first = 0; first < end; first += tile_keys) {
        const HeadRows keys{queries.sequence_begin, task.kv_head, first, std::min(tile_keys, end - first)};
        const MatrixOperand k = tile<Type>(o[2], keys, d, task.k), v = tile<Type>(o[3], keys, d, task.v);
        sgemm(queries.count, keys.count, d, task.shape.scale, q, {k.data, k.stride, true}, 0.0f, task.scores, keys.count);
        sgemm(queries.count, keys.count, d, 1.0f, d_out, {v.data, v.stride, true}, 0.0f, task.d_scores, keys.count);
        softmax_gradient(task, queries, keys, dots.data());
        // A key tile is first met by the queries at its own place; then d_k and d_v start, later tiles and heads add.
        const float add = first_head && first >= queries.first ? 0.0f : 1.0f;
        const Sum d_k = sum_at<Type>(o[8], keys, d, task.d_k, first), d_v = sum_at<Type>(o[9], keys, d, task.d_v, first);
        sgemm(keys.count, d, queries.count, 1.0f, {task.scores, keys.count, true}, d_out, add, d_v.data, d_v.stride);
        sgemm(keys.count, d, queries.count, 1.0f, {task.d_scores, keys.count, true}, q, add, d_k.data, d_k.stride);
        sgemm(queries.count, d, keys.count, 1.0f, {task.d_scores, keys.count}, k, first == 0 ? 0.0f : 1.0f, d_q.data, d_q.stride);
    }
    if constexpr (Type::two_bytes) store_tile<Type>(task.d_q, o[7], queries, d);
}

template <class Type>
void head(const KernelCall& call, const AttentionShape& shape, std::int64_t index, Scratch scratch) {
    const std::int64_t d = shape.head_dim, n = shape.sequence;
    const std::int64_t queries = blocking::query_tile(call.attributes), keys = blocking::key_tile(call.attributes);
    const auto panel = [&](std::int64_t rows) { return Type::two_bytes ? scratch.take(rows * d) : nullptr; };
    const HeadTask task{call,
                        shape,
                        index / shape.kv_heads * n,
                        index % shape.kv_heads,
                        scratch.take(queries * keys),
                        scratch.take(queries * keys),
                        panel(queries),
                        panel(queries),
                        panel(queries),
                        panel(keys),
                        panel(keys),
                        panel(n),
                        panel(n)};
    for (std::int64_t member = 0; member < shape.group(); ++member)
        for (std::int64_t first = 0; first < n; first += blocking::kQueryTile)
            query_tile<Type>(
                task,
                {task.sequence_begin, task.kv_head * shape.group() + member, first, std::min(blocking::kQueryTile, n - first)},
                member == 0);
    if constexpr (Type::two_bytes) {
        const HeadRows all{task.sequence_begin, task.kv_head, 0, n};
        store_tile<Type>(task.d_k, call.operands[8], all, d);
        store_tile<Type>(task.d_v, call.operands[9], all, d);
    }
}

} // namespace

void attention_backward(const KernelCall& call) {
    const AttentionShape shape(call.attributes);
    const TensorView& q = call.operands[1];
    const TensorView& workspace = call.operands[6];
    const std::int64_t slot_floats = blocking::attention_backward_slot(call.attributes, size_of(q.dtype) == 2);
    const std::int64_t tasks = shape.sequence == 0 ? 0 : shape.batch * shape.kv_heads;
    const std::int64_t slots = attention_slots(call, tasks);
    check_workspace(workspace, slots, slot_floats);
    for_each_task(call.context.workers, tasks, slots, [&](std::int64_t task, std::int64_t slot) {
        with_float_type(q.dtype,
                        [&](auto type) { head<decltype(type)>(call, shape, task, Scratch(workspace, slot, slot_floats)); });
    });
}

} // namespace zerosim::device::host
