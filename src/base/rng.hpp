// Counter-based randomness: a value is a pure function of what it is for, so it is the same on any
// number of ranks and again in recomputation. Used by data/ (weights, tokens) and dropout kernels.
// Holds no state.
#pragma once

#include <cstdint>

namespace zerosim {

/// SplitMix64's output function (Steele, Lea, Flood 2014); the `hash` of tests/truth/training/README.md.
[[nodiscard]] constexpr std::uint64_t hash64(std::uint64_t x) {
    std::uint64_t z = x + 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

[[nodiscard]] constexpr std::uint64_t hash64(std::uint64_t a, std::uint64_t b) { return hash64(hash64(a) ^ b); }

/// Uniform in [0, 1) from the upper 53 bits of a hash.
[[nodiscard]] constexpr double unit_double(std::uint64_t hash) { return static_cast<double>(hash >> 11) * 0x1.0p-53; }

}  // namespace zerosim
