// Sums, dot products and maxima of fp32 rows, in a fixed order of 32 lanes that vectorises without -ffast-math.
// Used by attention, the norms and whatever reduces along a row.
// Does not convert types: 2-byte rows are loaded to fp32 first (elements.hpp).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <limits>

namespace zerosim::device::host {

/// 16 floats: one AVX-512 register, or two or four smaller ones by the compiler's hand.
using Lanes = float __attribute__((vector_size(64)));
inline constexpr std::int64_t kLanes = 16;

inline void load_lanes(const float* source, Lanes& lanes) { std::memcpy(&lanes, source, sizeof(Lanes)); }

/// Adds the lanes pairwise.
[[nodiscard]] inline float total(const Lanes& lanes) {
    std::array<float, kLanes> values;
    std::memcpy(values.data(), &lanes, sizeof(Lanes));
    for (std::size_t width = kLanes / 2; width > 0; width /= 2)
        for (std::size_t i = 0; i < width; ++i) values[i] += values[i + width];
    return values[0];
}

[[nodiscard]] inline float sum(const float* x, std::int64_t count) {
    Lanes even{}, odd{}, value;
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
        load_lanes(x + i, value);
        even += value;
        load_lanes(x + i + kLanes, value);
        odd += value;
    }
    float tail = 0;
    for (; i < count; ++i) tail += x[i];
    even += odd;
    return total(even) + tail;
}

[[nodiscard]] inline float dot(const float* x, const float* y, std::int64_t count) {
    Lanes even{}, odd{}, a, b;
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
        load_lanes(x + i, a);
        load_lanes(y + i, b);
        even += a * b;
        load_lanes(x + i + kLanes, a);
        load_lanes(y + i + kLanes, b);
        odd += a * b;
    }
    float tail = 0;
    for (; i < count; ++i) tail += x[i] * y[i];
    even += odd;
    return total(even) + tail;
}

/// Sum of (x - centre)^2.
[[nodiscard]] inline float squares_about(const float* x, float centre, std::int64_t count) {
    Lanes even{}, odd{}, value;
    std::int64_t i = 0;
    for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
        load_lanes(x + i, value);
        value -= centre;
        even += value * value;
        load_lanes(x + i + kLanes, value);
        value -= centre;
        odd += value * value;
    }
    float tail = 0;
    for (; i < count; ++i) tail += (x[i] - centre) * (x[i] - centre);
    even += odd;
    return total(even) + tail;
}

/// The largest element; minus infinity of an empty row.
[[nodiscard]] inline float maximum(const float* x, std::int64_t count) {
    float result = -std::numeric_limits<float>::infinity();
    std::int64_t i = 0;
    if (count >= kLanes) {
        Lanes best, value;
        load_lanes(x, best);
        for (i = kLanes; i + kLanes <= count; i += kLanes) {
            load_lanes(x + i, value);
            best = value > best ? value : best;
        }
        std::array<float, kLanes> values;
        std::memcpy(values.data(), &best, sizeof(Lanes));
        result = *std::max_element(values.begin(), values.end());
    }
    for (; i < count; ++i) result = std::max(result, x[i]);
    return result;
}

} // namespace zerosim::device::host
