// Tensor-core building blocks of a warp: 16 x 8 x 16 products of 2-byte floats into fp32, and the loads of their operands from shared memory.
// Used by the attention kernels. Layouts: PTX ISA, "Matrix Fragments for mma.m16n8k16" and "ldmatrix".
// Needs compute capability 8.0; elsewhere attention takes the simple kernels.
#pragma once

#include "device/cuda_kernels/language.cuh"

namespace zerosim::device::cuda {

/// Lane l holds rows l/4 and l/4 + 8, columns 2(l%4) and the next, of a 16 x 8 tile.
struct Accumulator {
    float values[4] = {0, 0, 0, 0};
};

#ifdef __CUDACC__

template <class Type>
__device__ void multiply_add(Accumulator& c, const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
    if constexpr (std::is_same_v<Type, BFloat16>)
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(c.values[0]), "+f"(c.values[1]), "+f"(c.values[2]), "+f"(c.values[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    else
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                     : "+f"(c.values[0]), "+f"(c.values[1]), "+f"(c.values[2]), "+f"(c.values[3])
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    __trap();
#endif
}

/// Four 8 x 8 matrices; lane l gives the address of row l%8 of matrix l/8.
template <bool kTransposed>
__device__ void load_matrices(unsigned (&registers)[4], const std::uint16_t* row) {
#if __CUDA_ARCH__ >= 750
    const auto address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    if constexpr (kTransposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                     : "r"(address));
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                     : "r"(address));
#else
    __trap();
#endif
}

#else

/// What the instructions are documented to do, from the registers that all lanes show each other.
template <class Type>
void multiply_add(Accumulator& c, const unsigned (&a)[4], unsigned b0, unsigned b1) {
    const unsigned lane = threadIdx.x % kWarp;
    const std::uint64_t* const words = emulation::show({a[0], a[1], a[2], a[3], b0, b1});
    const auto half = [words](unsigned owner, unsigned word, unsigned which) {
        return Type::load(static_cast<std::uint16_t>(words[owner * emulation::kLaneWords + word] >> (16 * which)));
    };
    for (unsigned i = 0; i < 4; ++i) {
        const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        for (unsigned k = 0; k < 16; ++k)
            c.values[i] += half(row % 8 * 4 + k % 8 / 2, k / 8 * 2 + row / 8, k % 2) * half(column * 4 + k % 8 / 2, 4 + k / 8, k % 2);
    }
}

template <bool kTransposed>
void load_matrices(unsigned (&registers)[4], const std::uint16_t* row) {
    const unsigned lane = threadIdx.x % kWarp;
    const std::uint64_t* const rows = emulation::show({reinterpret_cast<std::uint64_t>(row)});
    for (unsigned m = 0; m < 4; ++m) {
        registers[m] = 0;
        for (unsigned which = 0; which < 2; ++which) {
            const unsigned r = kTransposed ? lane % 4 * 2 + which : lane / 4, c = kTransposed ? lane / 4 : lane % 4 * 2 + which;
            const auto* address = reinterpret_cast<const std::uint16_t*>(rows[(m * 8 + r) * emulation::kLaneWords]);
            check_pack(address, 16);
            registers[m] |= static_cast<unsigned>(address[c]) << (16 * which);
        }
    }
}

#endif

template <class Type>
__device__ unsigned pair_of(float low, float high) {
    return static_cast<unsigned>(Type::store(low)) | static_cast<unsigned>(Type::store(high)) << 16;
}

/// Elements by which rows of shared tiles are apart beyond their width: 16 bytes, so that the eight rows of a load lie in different banks.
inline constexpr int kTilePadding = 8;

/// A 16 x 16 part of a tile as the left operand: rows are rows.
template <int kStride>
__device__ void load_left(unsigned (&a)[4], const std::uint16_t* tile, int row, int column) {
    const unsigned lane = threadIdx.x % kWarp, m = lane / 8, r = lane % 8;
    load_matrices<false>(a, tile + (row + static_cast<int>(m % 2 * 8 + r)) * kStride + column + static_cast<int>(m / 2 * 8));
}
/// The right operand of two 16 x 8 products: 16 rows of the tile are the products' columns (tile = B transposed).
template <int kStride>
__device__ void load_right_by_rows(unsigned (&b)[4], const std::uint16_t* tile, int row, int column) {
    const unsigned lane = threadIdx.x % kWarp, m = lane / 8, r = lane % 8;
    load_matrices<false>(b, tile + (row + static_cast<int>(m / 2 * 8 + r)) * kStride + column + static_cast<int>(m % 2 * 8));
}
/// The right operand of two 16 x 8 products: 16 columns of the tile are the products' columns (tile = B).
template <int kStride>
__device__ void load_right_by_columns(unsigned (&b)[4], const std::uint16_t* tile, int row, int column) {
    const unsigned lane = threadIdx.x % kWarp, m = lane / 8, r = lane % 8;
    load_matrices<true>(b, tile + (row + static_cast<int>(m % 2 * 8 + r)) * kStride + column + static_cast<int>(m / 2 * 8));
}

/// A 16 x 16 part of a left operand in registers.
struct Fragment {
    unsigned words[4];
};
/// Rows [row, row + 16) of a tile, as a left operand, kept in registers.
template <int kDepth>
__device__ void load_rows(Fragment (&fragments)[kDepth / 16], const std::uint16_t* tile, int row) {
#pragma unroll
    for (int k = 0; k < kDepth / 16; ++k) load_left<kDepth + kTilePadding>(fragments[k].words, tile, row, k * 16);
}

/// out[16 x kColumns] += `left`'s part of depth [k, k + 16) times the transpose of the right tile's kColumns rows.
template <class Type, int kColumns, int kDepth>
__device__ void product_part(Accumulator (&out)[kColumns / 8], const unsigned (&left)[4], const std::uint16_t* right, int k) {
#pragma unroll
    for (int n = 0; n < kColumns; n += 16) {
        unsigned b[4];
        load_right_by_rows<kDepth + kTilePadding>(b, right, n, k);
        multiply_add<Type>(out[n / 8], left, b[0], b[1]);
        multiply_add<Type>(out[n / 8 + 1], left, b[2], b[3]);
    }
}
/// out[16 x kColumns] += the left rows times the transpose of the right tile's kColumns rows, over kDepth.
template <class Type, int kColumns, int kDepth>
__device__ void product_by_rows(Accumulator (&out)[kColumns / 8], const Fragment (&left)[kDepth / 16], const std::uint16_t* right) {
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) product_part<Type, kColumns, kDepth>(out, left[k / 16].words, right, k);
}
/// The same with rows [row, row + 16) of a tile in shared memory.
template <class Type, int kColumns, int kDepth>
__device__ void product_by_rows(Accumulator (&out)[kColumns / 8], const std::uint16_t* left, int row, const std::uint16_t* right) {
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
        unsigned a[4];
        load_left<kDepth + kTilePadding>(a, left, row, k);
        product_part<Type, kColumns, kDepth>(out, a, right, k);
    }
}

/// out[16 x kWidth] += values[16 x kDepth] (accumulators, rounded to Type) times the right tile [kDepth x kWidth].
template <class Type, int kDepth, int kWidth>
__device__ void product_by_columns(Accumulator (&out)[kWidth / 8], const Accumulator (&values)[kDepth / 8], const std::uint16_t* right) {
    constexpr int kStride = kWidth + kTilePadding;
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
        const Accumulator &low = values[k / 8], &high = values[k / 8 + 1];
        const unsigned a[4] = {pair_of<Type>(low.values[0], low.values[1]), pair_of<Type>(low.values[2], low.values[3]), pair_of<Type>(high.values[0], high.values[1]),
                               pair_of<Type>(high.values[2], high.values[3])};
#pragma unroll
        for (int n = 0; n < kWidth; n += 16) {
            unsigned b[4];
            load_right_by_columns<kStride>(b, right, k, n);
            multiply_add<Type>(out[n / 8], a, b[0], b[1]);
            multiply_add<Type>(out[n / 8 + 1], a, b[2], b[3]);
        }
    }
}

}  // namespace zerosim::device::cuda
