// Element types of tensors and the conversions between 2-byte floats and fp32.
// Used by the schedule (sizes), the kernels and the communicators (arithmetic).
// Does not do vectorised bulk conversion: see device/host_kernels.
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace zerosim {

enum class DType : std::uint8_t { fp32, bf16, fp16, fp64, int32, int64, uint8 };

/// Bytes of one element.
[[nodiscard]] constexpr std::int64_t size_of(DType type) {
    switch (type) {
        case DType::fp32: return 4;
        case DType::bf16: return 2;
        case DType::fp16: return 2;
        case DType::fp64: return 8;
        case DType::int32: return 4;
        case DType::int64: return 8;
        case DType::uint8: return 1;
    }
    return 0;
}

[[nodiscard]] constexpr std::string_view name(DType type) {
    switch (type) {
        case DType::fp32: return "fp32";
        case DType::bf16: return "bf16";
        case DType::fp16: return "fp16";
        case DType::fp64: return "fp64";
        case DType::int32: return "int32";
        case DType::int64: return "int64";
        case DType::uint8: return "uint8";
    }
    return "?";
}

[[nodiscard]] inline float bf16_to_float(std::uint16_t bits) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Round to nearest, ties to even; NaN stays NaN.
[[nodiscard]] inline std::uint16_t float_to_bf16(float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
    return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// IEEE binary16. _Float16 is native in g++ 12 on x86-64 and arm64, with correct rounding.
[[nodiscard]] inline float fp16_to_float(std::uint16_t bits) { return static_cast<float>(std::bit_cast<_Float16>(bits)); }
[[nodiscard]] inline std::uint16_t float_to_fp16(float value) {
    return std::bit_cast<std::uint16_t>(static_cast<_Float16>(value));
}

}  // namespace zerosim
