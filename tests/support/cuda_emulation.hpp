// Runs CUDA kernels on the CPU: a block's threads are fibers, so __syncthreads and warp shuffles mean what they mean on a GPU.
// Included by device/cuda_kernels/language.cuh where nvcc does not compile it; used by the tests that hold each kernel against the host's.
// Finds launches that a GPU refuses, misaligned packs, writes beyond the shared memory asked for, and results that come from dynamic shared memory before
// anything was written there or before its asynchronous copy was awaited (both read NaN). Says nothing about speed, races or other memory faults:
// compute-sanitizer on a GPU does.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define ZEROSIM_SHARED(name) unsigned char* const name = ::zerosim::emulation::shared_memory()

using cudaStream_t = void*;
struct EmulatedIndex {
    unsigned x = 0, y = 0, z = 0;
};

namespace zerosim::emulation {

/// The indices of the fiber that runs now.
struct Place {
    EmulatedIndex thread, block, block_size, grid_size;
};
[[nodiscard]] const Place& place();
[[nodiscard]] unsigned char* shared_memory();
/// Runs `body` for every thread of every block, block after block. Throws where a GPU would refuse the launch, and what the body threw.
void run(unsigned blocks, unsigned rows, unsigned threads, unsigned shared_bytes, const std::function<void()>& body);
void block_barrier();
/// Whether any thread of the block says yes, after all have.
[[nodiscard]] bool any_of_block(bool mine);
/// Throws where a GPU would fault: the address is no multiple of `bytes`.
void check_aligned(const void* address, std::uintptr_t bytes);
/// cp.async: the bytes (zeros where `from` is null) come when this thread calls finish_copies; until then the destination holds NaN.
void copy_later(void* to, const void* from, std::size_t bytes);
void finish_copies();
/// Words that a lane may show to its warp at once.
inline constexpr unsigned kLaneWords = 6;
/// Every lane of the warp shows up to kLaneWords words; returns all: word w of lane l at [l * kLaneWords + w], until the lane's next call.
[[nodiscard]] const std::uint64_t* show(std::initializer_list<std::uint64_t> mine);

template <class T>
[[nodiscard]] T exchange_value(T value, unsigned source) {
    static_assert(sizeof(T) <= 8);
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = show({bits})[source * kLaneWords];
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

}  // namespace zerosim::emulation

namespace zerosim::device::cuda {
namespace emulation = ::zerosim::emulation;
}

#define threadIdx (::zerosim::emulation::place().thread)
#define blockIdx (::zerosim::emulation::place().block)
#define blockDim (::zerosim::emulation::place().block_size)
#define gridDim (::zerosim::emulation::place().grid_size)

inline void __syncthreads() { zerosim::emulation::block_barrier(); }
inline int __syncthreads_or(int mine) { return zerosim::emulation::any_of_block(mine != 0) ? 1 : 0; }
inline void __syncwarp(unsigned = 0xffffffffu) { static_cast<void>(zerosim::emulation::show({})); }
template <class T>
T __shfl_xor_sync(unsigned, T value, unsigned mask) { return zerosim::emulation::exchange_value(value, (threadIdx.x % 32) ^ mask); }
template <class T>
T __shfl_sync(unsigned, T value, unsigned lane) { return zerosim::emulation::exchange_value(value, lane % 32); }
inline unsigned __ballot_sync(unsigned, bool mine) {
    const std::uint64_t* const votes = zerosim::emulation::show({mine});
    const unsigned first = threadIdx.x / 32 * 32, lanes = std::min(32u, blockDim.x - first);
    unsigned all = 0;
    for (unsigned lane = 0; lane < lanes; ++lane) all |= static_cast<unsigned>(votes[lane * zerosim::emulation::kLaneWords]) << lane;
    return all;
}
inline int __ffs(unsigned bits) { return bits == 0 ? 0 : std::countr_zero(bits) + 1; }
template <class T>
T atomicAdd(T* address, T value) {
    const T old = *address;
    *address += value;
    return old;
}
inline float __uint_as_float(unsigned bits) { return std::bit_cast<float>(bits); }
inline unsigned __float_as_uint(float value) { return std::bit_cast<unsigned>(value); }
inline double __hiloint2double(int high, int low) { return std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<unsigned>(high)) << 32 | static_cast<unsigned>(low)); }
inline int __double2hiint(double value) { return static_cast<int>(std::bit_cast<std::uint64_t>(value) >> 32); }
inline int __double2loint(double value) { return static_cast<int>(std::bit_cast<std::uint64_t>(value)); }
inline float __expf(float value) { return std::exp(value); }
inline float __logf(float value) { return std::log(value); }
inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }
inline float __fdividef(float a, float b) { return a / b; }
using std::fmaxf;
using std::isfinite;
using std::fminf;
using std::max;
