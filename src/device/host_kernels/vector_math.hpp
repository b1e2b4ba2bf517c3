// exp, sigmoid and tanh in fp32, written without branches so that loops over them auto-vectorise at -O3.
// Used by the host kernels (attention, GELU, SwiGLU, cross-entropy) inside plain `for` loops over floats.
// Does not set errno or floating-point flags, and flushes results below 2^-126 to zero.
#pragma once

#include <bit>
#include <cstdint>

namespace zerosim::device::host {

/// e^x, worst error 1.02 ulp over all floats. Cody-Waite reduction and the polynomial of expf in Cephes (Moshier, single/expf.c).
/// NaN stays NaN.
[[nodiscard]] inline float fast_exp(float x) {
    constexpr float log2_e = 1.44269504088896341f;
    constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f; // Cephes C1, C2: n * C1 is exact
    constexpr float to_integer = 12582912.0f;                           // 1.5 * 2^23: adding it rounds to an integer
    constexpr float smallest = -87.3365402f;                            // ln 2^-126
    const float lower = x < smallest ? smallest : x;
    const float clamped = lower > 89.0f ? 89.0f : lower; // e^89 overflows to infinity by itself
    const float shifted = clamped * log2_e + to_integer;
    const std::int32_t n = std::bit_cast<std::int32_t>(shifted) - 0x4B400000; // bits of to_integer
    const float rounded = shifted - to_integer;
    const float r = (clamped - rounded * ln2_high) - rounded * ln2_low;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * r) * r + r + 1.0f;
    // 2^n in two halves: n may be 128 where the result is still finite.
    const std::int32_t half = n >> 1;
    const float first = std::bit_cast<float>((half + 127) << 23);
    const float second = std::bit_cast<float>((n - half + 127) << 23);
    const float value = (p * first) * second;
    return x < smallest ? 0.0f : value;
}

/// 1 / (1 + e^-x), accurate relative to the result on both sides. GELU in its tanh form is x * sigmoid(2u): prefer that to
/// 0.5 * x * (1 + tanh(u)), which cancels for negative u.
[[nodiscard]] inline float fast_sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

/// tanh x, worst error 1.3 ulp: Cephes single/tanhf.c, polynomial below 0.625 and exponential above.
[[nodiscard]] inline float fast_tanh(float x) {
    const float magnitude = x < 0.0f ? -x : x;
    const float above = 1.0f - 2.0f / (fast_exp(magnitude + magnitude) + 1.0f);
    const float square = x * x;
    float p = -5.70498872745e-3f;
    p = p * square + 2.06390887954e-2f;
    p = p * square - 5.37397155531e-2f;
    p = p * square + 1.33314422036e-1f;
    p = p * square - 3.33332819422e-1f;
    const float below = (p * square) * x + x;
    return magnitude < 0.625f ? below : (x < 0.0f ? -above : above);
}

} // namespace zerosim::device::host
