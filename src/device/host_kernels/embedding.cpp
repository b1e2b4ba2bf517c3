#include "base/error.hpp"
#include "device/host_kernels/copy.hpp"
#include "device/host_kernels/eager_rows.hpp"
#include "device/host_kernels/elementwise.hpp"
#include "device/host_kernels/host_kernels.hpp"

#include <fmt/format.h>

#include <array>

namespace zerosim::device::host {
namespace {

/// 4 bytes each, or 8 (eager frameworks).
void check_tokens(const TensorView& tokens, std::int64_t count, std::int64_t rows) {
    for (std::int64_t t = 0; t < count; ++t)
        if (const std::int64_t token = integer_at(tokens, t); token < 0 || token >= rows)
            throw BugError(fmt::format("embedding: token {} at {} is outside the table of {} rows", token, t, rows));
}

// Tokens sorted at a time: 64 KiB of keys. More tokens take several rounds, each adding to a table row once.
constexpr std::int64_t kSorted = 8192;
// Columns a thread works on at least: one cache line of 2-byte elements.
constexpr std::int64_t kColumnUnit = 32;

/// Keys token << 32 | position, ascending: equal tokens lie together, in token order.
[[nodiscard]] std::span<const std::uint64_t> sort_tokens(const TensorView& tokens, std::int64_t begin, std::int64_t end,
                                                         std::array<std::uint64_t, kSorted>& keys) {
    for (std::int64_t t = begin; t < end; ++t)
        keys[static_cast<std::size_t>(t - begin)] = (static_cast<std::uint64_t>(integer_at(tokens, t)) << 32) | static_cast<std::uint64_t>(t);
    const std::span<std::uint64_t> used(keys.data(), static_cast<std::size_t>(end - begin));
    std::sort(used.begin(), used.end());
    return used;
}

/// Adds to `sum` columns [column, column + count) of row `row`.
void add_to(Block& sum, const TensorView& view, std::int64_t row, std::int64_t column, std::int64_t count) {
    Block block;
    load_block(view, row, column, count, block);
    for (std::int64_t i = 0; i < padded(count); ++i) sum[i] += block[i];
}

/// For each group of equal tokens: row[token] += the sum of its gradients, in fp32, rounded once.
void add_groups(std::span<const std::uint64_t> keys, const TensorView& d_out, const TensorView& d_table, std::int64_t column,
                std::int64_t count) {
    Block sum;
    for (std::size_t i = 0; i < keys.size();) {
        const std::uint64_t token = keys[i] >> 32;
        load_block(d_table, static_cast<std::int64_t>(token), column, count, sum);
        for (; i < keys.size() && keys[i] >> 32 == token; ++i)
            add_to(sum, d_out, static_cast<std::int64_t>(keys[i] & 0xffffffffu), column, count);
        store_block(sum, d_table, static_cast<std::int64_t>(token), column, count);
    }
}

/// Threads own columns, so no two of them write one element and every sum is in token order.
void add_table_gradient(const KernelCall& call, const TensorView& d_out, const TensorView& d_table) {
    const TensorView& tokens = call.operands[0];
    const std::int64_t units = (d_out.columns + kColumnUnit - 1) / kColumnUnit;
    std::array<std::uint64_t, kSorted> keys;
    for (std::int64_t begin = 0; begin < d_out.rows; begin += kSorted) {
        const auto sorted = sort_tokens(tokens, begin, std::min(begin + kSorted, d_out.rows), keys);
        const std::int64_t grain =
            std::max<std::int64_t>(1, kElementGrain / (kColumnUnit * static_cast<std::int64_t>(sorted.size())));
        parallel_for(call.context.workers, units, grain, [&](std::int64_t first, std::int64_t last) {
            const std::int64_t end = std::min(last * kColumnUnit, d_out.columns);
            for (std::int64_t column = first * kColumnUnit; column < end; column += kBlock)
                add_groups(sorted, d_out, d_table, column, std::min(kBlock, end - column));
        });
    }
}

/// Position p received every token p, p + sequence, p + 2 * sequence, ... Rows beyond the sequence have no gradient.
void add_position_gradient(const KernelCall& call, const TensorView& d_out, const TensorView& d_positions) {
    const std::int64_t sequence = call.attributes.sequence;
    parallel_for(call.context.workers, std::min(sequence, d_out.rows), row_grain(d_out.columns),
                 [&](std::int64_t begin, std::int64_t end) {
                     Block sum;
                     for (std::int64_t position = begin; position < end; ++position)
                         for (std::int64_t column = 0; column < d_out.columns; column += kBlock) {
                             const std::int64_t count = std::min(kBlock, d_out.columns - column);
                             load_block(d_positions, position, column, count, sum);
                             for (std::int64_t t = position; t < d_out.rows; t += sequence) add_to(sum, d_out, t, column, count);
                             store_block(sum, d_positions, position, column, count);
                         }
                 });
}

} // namespace

void embedding_forward(const KernelCall& call) {
    const TensorView &table = call.operands[1], &positions = call.operands[2], &out = call.operands[3];
    const TensorView& tokens = call.operands[0];
    const std::int64_t sequence = call.attributes.sequence;
    check_tokens(tokens, out.rows, table.rows);
    check(positions.data == nullptr || (sequence > 0 && sequence <= positions.rows),
          "embedding: the sequence exceeds the position table");
    parallel_for(call.context.workers, out.rows, row_grain(out.columns), [&](std::int64_t begin, std::int64_t end) {
        Block block;
        for (std::int64_t t = begin; t < end; ++t)
            for (std::int64_t column = 0; column < out.columns; column += kBlock) {
                const std::int64_t count = std::min(kBlock, out.columns - column);
                load_block(table, integer_at(tokens, t), column, count, block);
                if (positions.data != nullptr) add_to(block, positions, t % sequence, column, count);
                store_block(block, out, t, column, count);
            }
    });
}

void embedding_backward(const KernelCall& call) {
    const TensorView &d_out = call.operands[1], &d_table = call.operands[2], &d_positions = call.operands[3];
    check_tokens(call.operands[0], d_out.rows, d_table.rows);
    if (!call.attributes.accumulate) fill(call.context.workers, d_table, 0.0);
    add_table_gradient(call, d_out, d_table);
    if (d_positions.data == nullptr) return;
    const std::int64_t sequence = call.attributes.sequence;
    check(sequence > 0 && sequence <= d_positions.rows, "embedding: the sequence exceeds the position table");
    if (!call.attributes.accumulate_second) fill(call.context.workers, d_positions, 0.0);
    add_position_gradient(call, d_out, d_positions);
}

} // namespace zerosim::device::host
