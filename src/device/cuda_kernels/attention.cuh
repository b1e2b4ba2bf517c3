// What the attention kernels share: the shape, where a head's rows lie, tiles of them in shared memory.
// Included by attention_simple.cu, attention_forward.cu and attention_backward.cu.
// Computes no scores.
#pragma once

#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"
#include "device/cuda_kernels/mma.cuh"

#include <cmath>
#include <span>

namespace zerosim::device::cuda {

struct AttentionShape {
    std::int64_t sequence = 0;
    int batch = 0, heads = 0, kv_heads = 0, head_dim = 0;
    float scale = 0;                                     // 1 / sqrt(d)
    __device__ int group() const { return heads / kv_heads; }
};
[[nodiscard]] inline AttentionShape attention_shape(const kernel::Attributes& a) {
    check(a.kv_heads > 0 && a.heads % a.kv_heads == 0, "attention: query heads must be a multiple of key/value heads");
    check((a.value_dim == 0 || a.value_dim == a.head_dim) && a.keys == 0 && a.window == 0, "attention: the CUDA kernels have no windows, no cache and one head dimension");
    return {a.sequence, a.batch, a.heads, a.kv_heads, a.head_dim, static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim)))};
}

/// Which rows of which head of which sequence a block has. Tiles are counted in blockIdx.x alone: grids have at most 65,535 rows (CUDA Programming
/// Guide, "Compute Capabilities"), and batches of short sequences have more heads than that.
struct TilePlace {
    unsigned tile = 0, tiles = 1;                        // of the sequence
    int head = 0;
    std::int64_t begin = 0;                              // the sequence's first token
};
template <int kRows>
[[nodiscard]] __host__ __device__ inline unsigned tiles_of_sequence(const AttentionShape& shape) { return static_cast<unsigned>((shape.sequence + kRows - 1) / kRows); }
template <int kRows>
__device__ TilePlace tile_place(const AttentionShape& shape, int heads) {
    const unsigned tiles = tiles_of_sequence<kRows>(shape), head = blockIdx.x / tiles;
    return {blockIdx.x % tiles, tiles, static_cast<int>(head % static_cast<unsigned>(heads)), head / static_cast<unsigned>(heads) * shape.sequence};
}
template <int kRows>
[[nodiscard]] Grid tile_grid(const AttentionShape& shape, int heads, unsigned threads, unsigned shared_bytes) {
    const std::int64_t blocks = std::int64_t{tiles_of_sequence<kRows>(shape)} * shape.batch * heads;
    check(blocks <= INT32_MAX, "attention: more tiles than blocks of a grid");
    return {static_cast<unsigned>(blocks), threads, shared_bytes};
}

/// Every operand of attention and its gradient; absent ones are null.
template <class Type>
struct AttentionOperands {
    Matrix<Type> q, k, v, out, d_out, d_q, d_k, d_v;
    float* log_sum_exp = nullptr;                        // [T, heads]
};

/// Operands as the vocabulary lists them: q, k, v, workspace, out, log_sum_exp.
template <class Type>
[[nodiscard]] AttentionOperands<Type> forward_operands(std::span<const TensorView> views) {
    AttentionOperands<Type> o;
    o.q = matrix<Type>(views[0]);
    o.k = matrix<Type>(views[1]);
    o.v = matrix<Type>(views[2]);
    o.out = matrix<Type>(views[4]);
    o.log_sum_exp = views[5].as<float>();
    return o;
}
/// d_out, q, k, v, out, log_sum_exp, workspace, d_q, d_k, d_v.
template <class Type>
[[nodiscard]] AttentionOperands<Type> backward_operands(std::span<const TensorView> views) {
    return {matrix<Type>(views[1]), matrix<Type>(views[2]), matrix<Type>(views[3]), matrix<Type>(views[4]), matrix<Type>(views[0]),
            matrix<Type>(views[7]), matrix<Type>(views[8]), matrix<Type>(views[9]), views[5].as<float>()};
}

/// The tile kernels serve these; others take the simple ones.
[[nodiscard]] inline bool has_tiles(DType type, int head_dim) { return size_of(type) == 2 && (head_dim == 32 || head_dim == 64 || head_dim == 96 || head_dim == 128); }

void simple_attention_forward(const KernelCall& call, const LaunchContext& context);
void simple_attention_backward(const KernelCall& call, const LaunchContext& context);
void tiled_attention_forward(const KernelCall& call, const LaunchContext& context);
void tiled_attention_backward(const KernelCall& call, const LaunchContext& context);

/// Calls body(std::integral_constant<int, head_dim>).
template <class Body>
void with_head_dim(int head_dim, Body&& body) {
    switch (head_dim) {
        case 32: return body(std::integral_constant<int, 32>{});
        case 64: return body(std::integral_constant<int, 64>{});
        case 96: return body(std::integral_constant<int, 96>{});
        case 128: return body(std::integral_constant<int, 128>{});
        default: throw BugError("attention: no tiles for this head dimension");
    }
}

// Copies from global to shared memory that run beside the arithmetic (PTX ISA, "cp.async"): 16 bytes, or zeros where `valid` is not.
// They have come after await_copies() and a __syncthreads().
__device__ inline void copy_async(std::uint16_t* shared, const std::uint16_t* global, bool valid) {
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<unsigned>(__cvta_generic_to_shared(shared))), "l"(global), "r"(valid ? 16 : 0) : "memory");
#else
    __trap();
#endif
#else
    check_pack(shared, 16);
    check_pack(global, 16);
    Pack<std::uint16_t, 8> pack = {};
    if (valid) pack = *reinterpret_cast<const Pack<std::uint16_t, 8>*>(global);
    *reinterpret_cast<Pack<std::uint16_t, 8>*>(shared) = pack;
#endif
}
__device__ inline void await_copies() {
#if defined(__CUDACC__) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

/// Starts to bring rows [first, first + kRows) of one head into shared memory; rows from `end` on are zero.
template <int kRows, int kDim, unsigned kThreads>
__device__ void load_tile(std::uint16_t* tile, const std::uint16_t* head, std::int64_t row_stride, std::int64_t first, std::int64_t end) {
    constexpr int kPacks = kDim / 8;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kPacks; i += kThreads) {
        const int row = i / kPacks, column = i % kPacks * 8;
        const bool valid = first + row < end;
        copy_async(tile + row * (kDim + kTilePadding) + column, head + (valid ? (first + row) * row_stride + column : 0), valid);
    }
}

/// A warp's 16 x kDim accumulators, scaled, into rows row + l/4 and row + l/4 + 8 of a head; rows from `end` on are not written.
template <class Type, int kDim>
__device__ void store_rows(const Accumulator (&values)[kDim / 8], float scale_low, float scale_high, std::uint16_t* head, std::int64_t row_stride, std::int64_t row, std::int64_t end) {
    const unsigned lane = threadIdx.x % kWarp;
    const std::int64_t low = row + lane / 4, high = low + 8;
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
        const std::int64_t column = n * 8 + lane % 4 * 2;
        check_pack(head + column, 4);
        if (low < end) *reinterpret_cast<unsigned*>(head + low * row_stride + column) = pair_of<Type>(values[n].values[0] * scale_low, values[n].values[1] * scale_low);
        if (high < end) *reinterpret_cast<unsigned*>(head + high * row_stride + column) = pair_of<Type>(values[n].values[2] * scale_high, values[n].values[3] * scale_high);
    }
}

}  // namespace zerosim::device::cuda
