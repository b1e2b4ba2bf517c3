// What the CUDA kernels are written in: launches, shared memory, storage types, packs of 16 bytes, sums over warps and blocks.
// Included by every file of cuda_kernels/. Compiled by nvcc for GPUs; compiled as C++ against tests/support/cuda_emulation.hpp, which
// runs a grid's threads as fibers, so that every kernel's arithmetic is tested where there is no GPU.
// Knows no kernel of the vocabulary.
#pragma once

#include "base/dtype.hpp"
#include "base/error.hpp"
#include "device/device.hpp"

#include <cstdint>
#include <cstring>
#include <type_traits>

#ifdef __CUDACC__
#include "device/cuda_check.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#define ZEROSIM_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#else
#include "support/cuda_emulation.hpp"
#endif

namespace zerosim::device::cuda {

using Stream = cudaStream_t;

struct Grid {
    unsigned blocks = 1, threads = 1, shared_bytes = 0;
    unsigned rows = 1;                                  // blockIdx.y
};
/// Beyond this a kernel must ask for its dynamic shared memory (CUDA Programming Guide, "Shared Memory": 48 KB by default).
inline constexpr unsigned kDefaultShared = 48 * 1024;
/// Most blocks of a loop over elements: enough for every multiprocessor of any device; the loop strides over the rest.
inline constexpr std::int64_t kMostBlocks = 4096;
inline constexpr unsigned kWarp = 32;

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), Grid grid, Stream stream, Arguments... arguments) {
    if (grid.blocks == 0 || grid.rows == 0) return;
#ifdef __CUDACC__
    if (grid.shared_bytes > kDefaultShared)
        check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(grid.shared_bytes)), "cudaFuncSetAttribute");
    kernel<<<dim3(grid.blocks, grid.rows), grid.threads, grid.shared_bytes, stream>>>(arguments...);
    check_cuda(cudaGetLastError(), "kernel launch");
#else
    emulation::run(grid.blocks, grid.rows, grid.threads, grid.shared_bytes, [&] { kernel(arguments...); });
    static_cast<void>(stream);
#endif
}

/// Blocks for a loop of `items` over threads.
[[nodiscard]] inline unsigned blocks_for(std::int64_t items, unsigned threads) {
    const std::int64_t blocks = (items + threads - 1) / threads;
    return static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks);
}

// Storage types: how each is read to fp32 and rounded from it, to nearest with ties to even.
struct Float32 {
    using Storage = float;
    static constexpr int kPack = 4;                     // elements of 16 bytes
    __device__ static float load(Storage value) { return value; }
    __device__ static Storage store(float value) { return value; }
};
struct BFloat16 {
    using Storage = std::uint16_t;
    static constexpr int kPack = 8;
    __device__ static float load(Storage bits) { return __uint_as_float(static_cast<unsigned>(bits) << 16); }
    __host__ __device__ static Storage store(float value) {
#ifdef __CUDACC__
        return __bfloat16_as_ushort(__float2bfloat16_rn(value));
#else
        return float_to_bf16(value);
#endif
    }
};
struct Float16 {
    using Storage = std::uint16_t;
    static constexpr int kPack = 8;
#ifdef __CUDACC__
    __device__ static float load(Storage bits) { return __half2float(__ushort_as_half(bits)); }
    __host__ __device__ static Storage store(float value) { return __half_as_ushort(__float2half_rn(value)); }
#else
    static float load(Storage bits) { return fp16_to_float(bits); }
    static Storage store(float value) { return float_to_fp16(value); }
#endif
};

/// Calls body(Float32{}), body(BFloat16{}) or body(Float16{}).
template <class Body>
void with_float_type(DType type, Body&& body) {
    switch (type) {
        case DType::fp32: return body(Float32{});
        case DType::bf16: return body(BFloat16{});
        case DType::fp16: return body(Float16{});
        default: throw BugError("CUDA kernel called with elements of " + std::string(name(type)) + "; it takes fp32, bf16 or fp16");
    }
}

/// A tensor as a kernel's argument.
template <class Type>
struct Matrix {
    typename Type::Storage* data = nullptr;
    std::int64_t row_stride = 0;
    __device__ typename Type::Storage* row(std::int64_t index) const { return data + index * row_stride; }
};
template <class Type>
[[nodiscard]] Matrix<Type> matrix(const TensorView& view) {
    return {view.as<typename Type::Storage>(), view.row_stride};
}

/// `N` neighbours, loaded and stored at once.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
    T values[N];
};
/// On the emulated grid an address that is no multiple of the access is found; a GPU ends the process ("misaligned address").
__device__ inline void check_pack([[maybe_unused]] const void* address, [[maybe_unused]] unsigned bytes) {
#ifndef __CUDACC__
    emulation::check_aligned(address, bytes);
#endif
}
template <class Type, int N>
__device__ void load_pack(const typename Type::Storage* source, float (&values)[N]) {
    check_pack(source, sizeof(Pack<typename Type::Storage, N>));
    const auto pack = *reinterpret_cast<const Pack<typename Type::Storage, N>*>(source);
#pragma unroll
    for (int i = 0; i < N; ++i) values[i] = Type::load(pack.values[i]);
}
template <class Type, int N>
__device__ void store_pack(const float (&values)[N], typename Type::Storage* destination) {
    Pack<typename Type::Storage, N> pack;
#pragma unroll
    for (int i = 0; i < N; ++i) pack.values[i] = Type::store(values[i]);
    check_pack(destination, sizeof(pack));
    *reinterpret_cast<Pack<typename Type::Storage, N>*>(destination) = pack;
}
/// `N` neighbours as they are stored, for what is loaded long before it is used: half the registers of fp32 values, and in words, for nvcc gives each half
/// word a register of its own and waits for the load to split it.
template <class Type, int N>
struct StoredPack {
    using Storage = typename Type::Storage;
    using Word = std::conditional_t<N * sizeof(Storage) % 4 == 0, unsigned, Storage>;
    static constexpr int kElements = sizeof(Word) / sizeof(Storage), kWords = N / kElements;
    Word words[kWords] = {};

    __device__ void load(const Storage* source) {
        check_pack(source, sizeof(words));
#ifdef __CUDACC__
        const auto pack = *reinterpret_cast<const Pack<Word, kWords>*>(source);
#pragma unroll
        for (int w = 0; w < kWords; ++w) words[w] = pack.values[w];
#else
        std::memcpy(words, source, sizeof(words));
#endif
    }
    __device__ float value(int i) const {
        if constexpr (std::is_same_v<Storage, float>) return __uint_as_float(words[i]);
        else return Type::load(static_cast<Storage>(words[i / kElements] >> (i % kElements * 16)));
    }
};
/// Every row of the view begins on 16 bytes and holds whole packs.
[[nodiscard]] inline bool packs(const TensorView& view) {
    const std::int64_t size = size_of(view.dtype);
    return reinterpret_cast<std::uintptr_t>(view.data) % 16 == 0 && view.row_stride * size % 16 == 0 && view.columns * size % 16 == 0;
}

/// 2^x by the special-function unit: results below 2^-126 are zero, which saves the three instructions that denormals cost.
__device__ inline float fast_exp2(float x) {
#ifdef __CUDACC__
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
#else
    return std::exp2(x);
#endif
}
inline constexpr float kLog2E = 1.44269504088896341f;

// Sums in a fixed order: the same bits at every run.
__device__ inline float warp_sum(float value) {
    for (unsigned lane = kWarp / 2; lane > 0; lane /= 2) value += __shfl_xor_sync(0xffffffffu, value, lane);
    return value;
}
__device__ inline double warp_sum(double value) {
    for (unsigned lane = kWarp / 2; lane > 0; lane /= 2) value += __shfl_xor_sync(0xffffffffu, value, lane);
    return value;
}
__device__ inline float warp_max(float value) {
    for (unsigned lane = kWarp / 2; lane > 0; lane /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, lane));
    return value;
}

}  // namespace zerosim::device::cuda
