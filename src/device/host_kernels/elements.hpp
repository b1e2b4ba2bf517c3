// Storage types of host kernels: how each float type is read to fp32 and rounded from it, one by one or in rows.
// Used by every host kernel, which computes in fp32 whatever it stores.
// Does not parallelise and does not know tensors beyond one row.
#pragma once

#include "base/dtype.hpp"
#include "base/error.hpp"
#include "device/device.hpp"

#include <cstdint>
#include <string>
#include <type_traits>

#ifdef __F16C__
#include <immintrin.h>
#endif

namespace zerosim::device::host {

struct Float32 {
    using Storage = float;
    static constexpr bool two_bytes = false;
    [[nodiscard]] static float load(Storage value) { return value; }
    [[nodiscard]] static Storage store(float value) { return value; }
};

struct BFloat16 {
    using Storage = std::uint16_t;
    static constexpr bool two_bytes = true;
    [[nodiscard]] static float load(Storage bits) { return bf16_to_float(bits); }
    [[nodiscard]] static Storage store(float value) { return float_to_bf16(value); }
};

struct Float16 {
    using Storage = std::uint16_t;
    static constexpr bool two_bytes = true;
    [[nodiscard]] static float load(Storage bits) { return fp16_to_float(bits); }
    [[nodiscard]] static Storage store(float value) { return float_to_fp16(value); }
};

/// Calls body(Float32{}), body(BFloat16{}) or body(Float16{}).
template <class Body>
void with_float_type(DType type, Body&& body) {
    switch (type) {
        case DType::fp32: body(Float32{}); return;
        case DType::bf16: body(BFloat16{}); return;
        case DType::fp16: body(Float16{}); return;
        default:
            throw BugError("host kernel called with elements of " + std::string(name(type)) + "; it takes fp32, bf16 or fp16");
    }
}

/// Reads `count` elements to fp32. A loop of its own because g++ 12 does not vectorise conversions of _Float16.
template <class Type>
void load_row(const typename Type::Storage* source, float* destination, std::int64_t count) {
    std::int64_t i = 0;
#ifdef __F16C__
    if constexpr (std::is_same_v<Type, Float16>) {
        for (; i + 8 <= count; i += 8)
            _mm256_storeu_ps(destination + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i))));
    }
#endif
    for (; i < count; ++i) destination[i] = Type::load(source[i]);
}

/// Rounds `count` floats to the storage type, to nearest with ties to even.
template <class Type>
void store_row(const float* source, typename Type::Storage* destination, std::int64_t count) {
    std::int64_t i = 0;
#ifdef __F16C__
    if constexpr (std::is_same_v<Type, Float16>) {
        for (; i + 8 <= count; i += 8)
            _mm_storeu_si128(reinterpret_cast<__m128i*>(destination + i),
                             _mm256_cvtps_ph(_mm256_loadu_ps(source + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
#endif
    for (; i < count; ++i) destination[i] = Type::store(source[i]);
}

/// Adds `count` floats into the destination: read, added in fp32, rounded once.
template <class Type>
void add_row(const float* source, typename Type::Storage* destination, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) destination[i] = Type::store(Type::load(destination[i]) + source[i]);
}

/// First element of row `row`.
template <class Type>
[[nodiscard]] typename Type::Storage* row_of(const TensorView& view, std::int64_t row) {
    return view.as<typename Type::Storage>() + row * view.row_stride;
}

} // namespace zerosim::device::host
