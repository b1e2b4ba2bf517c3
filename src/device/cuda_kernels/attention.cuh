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
    check(blocks <= INT32_MAX && shape.sequence <= INT32_MAX - kRows, "attention: more tiles than blocks of a grid");
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

// Copies from global to shared memory that run beside the arithmetic (PTX ISA, "cp.async"): 8 or 16 bytes, or zeros where `valid` is not; nothing is
// read then, whatever the address. They have come after await_copies() and a __syncthreads().
template <int kBytes>
__device__ void copy_async(void* shared, const void* global, bool valid) {
    static_assert(kBytes == 8 || kBytes == 16);
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 800
    const auto to = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    if constexpr (kBytes == 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(global), "r"(valid ? 16 : 0) : "memory");
    else asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(global), "r"(valid ? 8 : 0) : "memory");
#else
    __trap();
#endif
#else
    check_pack(shared, kBytes);
    check_pack(global, kBytes);
    emulation::copy_later(shared, valid ? global : nullptr, kBytes);
#endif
}
__device__ inline void await_copies() {
#ifdef __CUDACC__
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
#else
    emulation::finish_copies();
#endif
}

/// A thread's part in bringing tiles of kRows rows of one head, one after the other, into shared memory: rows from `end` on are zero. What it copies of a
/// tile is fixed, and addresses are counted on: to compute them anew took as many instructions as the arithmetic of a tile.
template <int kRows, int kDim, unsigned kThreads>
class TileCopies {
    static constexpr int kStride = kDim + kTilePadding, kPacks = kDim / 8;
    static constexpr int kLanes = kPacks % 8 == 0 ? 8 : 4;   // threads of a row: 128 bytes at once where rows have them, so that no two lie in one bank
    static constexpr int kStep = static_cast<int>(kThreads) / kLanes;   // rows of a pass
    static_assert(kRows % kStep == 0 && kPacks % kLanes == 0);

public:
    __device__ TileCopies(const std::uint16_t* head, std::int64_t row_stride, int first, int end) : step_(kStep * row_stride) { restart(head, row_stride, first, end); }
    __device__ void restart(const std::uint16_t* head, std::int64_t row_stride, int first, int end) {
        const int row = static_cast<int>(threadIdx.x) / kLanes, column = static_cast<int>(threadIdx.x) % kLanes * 8;
        from_ = head + (first + row) * row_stride + column;
        to_ = row * kStride + column;
        left_ = end - first - row;
    }
    /// Starts to bring the next tile.
    __device__ void next(std::uint16_t* tile) {
#pragma unroll
        for (int r = 0; r < kRows; r += kStep, from_ += step_)
#pragma unroll
            for (int c = 0; c < kPacks; c += kLanes) copy_async<16>(tile + to_ + r * kStride + c * 8, from_ + c * 8, r < left_);
        left_ -= kRows;
    }

private:
    const std::uint16_t* from_ = nullptr;
    std::int64_t step_;
    int to_ = 0, left_ = 0;                              // elements into the tile; rows of the head from the thread's first on
};

/// A warp's 16 x kDim accumulators, scaled, into rows row + l/4 and row + l/4 + 8 of a head; rows from `end` on are not written.
template <class Type, int kDim>
__device__ void store_rows(const Accumulator (&values)[kDim / 8], float scale_low, float scale_high, std::uint16_t* head, std::int64_t row_stride, int row, int end) {
    const int lane = static_cast<int>(threadIdx.x % kWarp), low = row + lane / 4, high = low + 8;
    std::uint16_t* const at = head + low * row_stride + lane % 4 * 2;
    check_pack(at, 4);
#pragma unroll
    for (int n = 0; n < kDim / 8; ++n) {
        if (low < end) *reinterpret_cast<unsigned*>(at + n * 8) = pair_of<Type>(values[n].values[0] * scale_low, values[n].values[1] * scale_low);
        if (high < end) *reinterpret_cast<unsigned*>(at + 8 * row_stride + n * 8) = pair_of<Type>(values[n].values[2] * scale_high, values[n].values[3] * scale_high);
    }
}

}  // namespace zerosim::device::cuda
