// What the kernels of norms share: a warp a row, and a row of whole 16-byte packs in the registers of its lanes.
// Included by norms.cu and norm_gradients.cu.
// Computes nothing.
#pragma once

#include "device/cuda_kernels/kernels.hpp"
#include "device/cuda_kernels/language.cuh"

namespace zerosim::device::cuda {

inline constexpr unsigned kRowThreads = 128, kRowsOfBlock = kRowThreads / kWarp;
[[nodiscard]] inline unsigned row_blocks(std::int64_t rows) { return static_cast<unsigned>((rows + kRowsOfBlock - 1) / kRowsOfBlock); }
/// The first column of a lane's pack, and from one of its packs to the next.
template <class Type>
__device__ std::int64_t first_column() { return std::int64_t{threadIdx.x % kWarp} * Type::kPack; }
template <class Type>
inline constexpr std::int64_t kPackStride = std::int64_t{kWarp} * Type::kPack;

/// Calls body(std::integral_constant<int, packs>) with the least number of packs of a lane that holds a row; false when none does.
template <class Type, int kMost, class Body>
bool with_row_packs(std::int64_t columns, const Body& body) {
    const std::int64_t needed = (columns + kPackStride<Type> - 1) / kPackStride<Type>;
    bool done = false;
    const auto attempt = [&]<int P>(std::integral_constant<int, P> packs_of_lane) {
        if constexpr (P <= kMost)
            if (!done && needed <= P) {
                body(packs_of_lane);
                done = true;
            }
    };
    attempt(std::integral_constant<int, 1>{});
    attempt(std::integral_constant<int, 2>{});
    attempt(std::integral_constant<int, 3>{});
    attempt(std::integral_constant<int, 4>{});
    attempt(std::integral_constant<int, 6>{});
    attempt(std::integral_constant<int, 8>{});
    attempt(std::integral_constant<int, 16>{});
    return done;
}
[[nodiscard]] inline bool aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; }

}  // namespace zerosim::device::cuda
