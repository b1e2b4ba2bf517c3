// Blocking of the host kernels that need scratch: panels of 2-byte products, tiles of attention.
// Shared by workspace_bytes (which sizes the operand) and device/host_kernels (which carves it), so that the two agree.
// Does not allocate; sizes are in fp32 elements of one thread's slot.
#pragma once

#include "kernel/kernel.hpp"

#include <algorithm>
#include <cstdint>

namespace zerosim::kernel::host_blocking {

/// C[rows, columns] = A[rows, depth] B[depth, columns] of a linear kernel.
struct Product {
    std::int64_t rows = 0, columns = 0, depth = 0;
};

// Panels of 2-byte products: 256 x 256 blocks of the result leave 256 multiply-adds for each two converted elements, and the
// three panels (1.3 MiB) stay in a core's second-level cache or close to it (tests/benchmarks/gemm_share).
inline constexpr std::int64_t kBlockRows = 256, kBlockColumns = 256, kBlockDepth = 512;
// Attention tiles: a 128 x 128 tile of scores is 64 KiB, and half of it lies above the diagonal in one tile of every row.
inline constexpr std::int64_t kQueryTile = 128, kKeyTile = 128;

[[nodiscard]] constexpr std::int64_t blocks(std::int64_t count, std::int64_t block) { return (count + block - 1) / block; }

[[nodiscard]] constexpr Product product(Kernel kernel, const Attributes& a) {
    switch (kernel) {
        case Kernel::linear_forward: return {a.tokens, a.out, a.in};
        case Kernel::linear_backward_input: return {a.tokens, a.in, a.out};
        case Kernel::linear_backward_weight: return a.input_major ? Product{a.in, a.out, a.tokens} : Product{a.out, a.in, a.tokens};
        default: return {};
    }
}

[[nodiscard]] constexpr std::int64_t product_blocks(const Product& p) {
    return blocks(p.rows, kBlockRows) * blocks(p.columns, kBlockColumns);
}

/// Panel of A, panel of B and the fp32 result, each as large as the shape lets them be.
[[nodiscard]] constexpr std::int64_t product_slot(const Product& p) {
    const std::int64_t rows = std::min(p.rows, kBlockRows), columns = std::min(p.columns, kBlockColumns);
    const std::int64_t depth = std::min(p.depth, kBlockDepth);
    return rows * depth + columns * depth + rows * columns;
}

[[nodiscard]] constexpr std::int64_t query_tile(const Attributes& a) { return std::min<std::int64_t>(a.sequence, kQueryTile); }
[[nodiscard]] constexpr std::int64_t key_tile(const Attributes& a) { return std::min<std::int64_t>(a.sequence, kKeyTile); }

/// Independent pieces: (sequence, query head, query tile) forward, (sequence, key/value head) backward.
[[nodiscard]] constexpr std::int64_t attention_forward_tasks(const Attributes& a) {
    return std::int64_t{a.batch} * a.heads * blocks(a.sequence, kQueryTile);
}
[[nodiscard]] constexpr std::int64_t attention_backward_tasks(const Attributes& a) { return std::int64_t{a.batch} * a.kv_heads; }

/// Scores and output; 2-byte: also q, k and v in fp32.
[[nodiscard]] constexpr std::int64_t attention_forward_slot(const Attributes& a, bool two_bytes) {
    const std::int64_t queries = query_tile(a), keys = key_tile(a), d = a.head_dim;
    return queries * keys + queries * d + (two_bytes ? queries * d + 2 * keys * d : 0);
}

/// Scores and their gradient; 2-byte: also q, d_out, d_q, k and v in fp32, and d_k and d_v of one head over the sequence.
[[nodiscard]] constexpr std::int64_t attention_backward_slot(const Attributes& a, bool two_bytes) {
    const std::int64_t queries = query_tile(a), keys = key_tile(a), d = a.head_dim;
    return 2 * queries * keys + (two_bytes ? 3 * queries * d + 2 * keys * d + 2 * a.sequence * d : 0);
}

} // namespace zerosim::kernel::host_blocking
