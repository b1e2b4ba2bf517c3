// What attention forward and backward share: the shape, tiles of one head as sgemm operands, and the list of tasks.
// Included by attention_forward.cpp and attention_backward.cpp only.
// Does not compute scores.
#pragma once

#include "device/host_kernels/elements.hpp"
#include "device/host_kernels/scratch.hpp"
#include "device/host_kernels/sgemm.hpp"
#include "device/workers.hpp"
#include "kernel/host_blocking.hpp"
#include "kernel/work.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>

namespace zerosim::device::host {

struct AttentionShape {
    std::int64_t batch, sequence, heads, kv_heads, head_dim;
    float scale; // 1 / sqrt(d)

    explicit AttentionShape(const kernel::Attributes& a)
        : batch(a.batch),
          sequence(a.sequence),
          heads(a.heads),
          kv_heads(a.kv_heads),
          head_dim(a.head_dim),
          scale(static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim)))) {
        check(kv_heads > 0 && heads % kv_heads == 0, "attention: query heads must be a multiple of key/value heads");
    }
    /// Query heads that share one key/value head.
    [[nodiscard]] std::int64_t group() const { return heads / kv_heads; }
};

/// Rows [first, first + count) of one head of one sequence.
struct HeadRows {
    std::int64_t sequence_begin, head, first, count;
};

template <class Type>
[[nodiscard]] typename Type::Storage* tile_data(const TensorView& view, const HeadRows& rows, std::int64_t head_dim) {
    return row_of<Type>(view, rows.sequence_begin + rows.first) + rows.head * head_dim;
}

/// The tile as an sgemm operand: in place for fp32, else converted into `panel`.
template <class Type>
[[nodiscard]] MatrixOperand tile(const TensorView& view, const HeadRows& rows, std::int64_t head_dim, float* panel) {
    const auto* data = tile_data<Type>(view, rows, head_dim);
    if constexpr (!Type::two_bytes) {
        return {data, view.row_stride, false};
    } else {
        for (std::int64_t i = 0; i < rows.count; ++i) load_row<Type>(data + i * view.row_stride, panel + i * head_dim, head_dim);
        return {panel, head_dim, false};
    }
}

/// Rounds a dense fp32 tile to its place in a tensor.
template <class Type>
void store_tile(const float* panel, const TensorView& view, const HeadRows& rows, std::int64_t head_dim) {
    auto* data = tile_data<Type>(view, rows, head_dim);
    for (std::int64_t i = 0; i < rows.count; ++i) store_row<Type>(panel + i * head_dim, data + i * view.row_stride, head_dim);
}

/// How many of the `keys` keys from `first_key` the query at `position` may see.
[[nodiscard]] inline std::int64_t visible(std::int64_t position, std::int64_t first_key, std::int64_t keys) {
    return std::clamp<std::int64_t>(position - first_key + 1, 0, keys);
}

// A thread with less than about 10 us of products is not worth a hand-over.
inline constexpr double kThreadFlops = 1e6;

/// Threads that work on `tasks` equal parts of the call; each uses one slot of the workspace.
[[nodiscard]] inline std::int64_t attention_slots(const KernelCall& call, std::int64_t tasks) {
    if (call.context.workers == nullptr) return std::min<std::int64_t>(tasks, 1);
    const double flops = kernel::work(call.kernel, call.attributes, DType::fp32).matrix_flops;
    const auto useful = static_cast<std::int64_t>(std::min(flops / kThreadFlops, 1e6)) + 1;
    return std::min({tasks, useful, static_cast<std::int64_t>(call.context.workers->threads())});
}

/// Runs body(task, slot) for every task, tasks handed out in order to whichever thread is free: each writes its own part of the
/// results, so who runs it changes no bit.
inline void for_each_task(Workers* workers, std::int64_t tasks, std::int64_t slots,
                          const std::function<void(std::int64_t, std::int64_t)>& body) {
    std::atomic<std::int64_t> next{0};
    parallel_for(workers, slots, 1, [&](std::int64_t slot, std::int64_t) {
        for (std::int64_t task = next.fetch_add(1); task < tasks; task = next.fetch_add(1)) body(task, slot);
    });
}

} // namespace zerosim::device::host
