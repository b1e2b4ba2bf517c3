// The bins of the squared gradient norm: a sum of squares that is the same to the last bit for every partition of the
// elements over ranks, threads and calls, after Demmel, Nguyen 2015, "Parallel Reproducible Summation" (binned sums as
// in ReproBLAS), here on a grid fixed in advance. Used by squared_norm (adds) and gradient_scale (reads).
// Does not walk gradients and does not communicate.
//
// Bin j holds a sum of multiples of its unit 2^(lowest + bits * j). A square is cut into slices: its multiple of the top
// bin's unit, rounded to nearest, then the remainder's multiple of the next unit, and so on for `slices` bins. Slices and
// remainders are exact, and a slice is at most 2^(bits - 1) units, so 2^33 elements fit into the 53 bits of a double: every
// addition, an fp64 all-reduce included, is exact, and order cannot matter.
//
// Which bins a block of elements fills depends on its own largest square, but a slice in a given bin does not: from a
// higher top bin the element's slices there are zero and its remainder is untouched. With T the highest bin that is not
// zero over all elements, every block has kept its slices in bins T - slices + 1 .. T (its own top bin is at most T), and
// those alone are summed. T depends on the largest square only. So the result is a function of the set of elements.
#pragma once

#include "kernel/kernel.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

namespace zerosim::device {

/// 20 bits and 24 bins: squares up to the largest of fp32 (2^256). Sums below 2^-164 (norms below 2^-82 = 2e-25) have fewer than
/// four bins left and lose accuracy, squares below 2^-225 count as zero.
inline constexpr int kNormBinBits = 20;
inline constexpr int kNormLowestExponent = 256 - kNormBinBits * kernel::kNormBins;
/// Four slices keep at least 60 bits below the largest square: 2^33 elements err by less than 2^-27 of it in the worst case.
inline constexpr int kNormSlices = 4;

[[nodiscard]] constexpr double power_of_two(int exponent) {
    double value = 1.0;
    for (; exponent > 0; --exponent) value *= 2.0;
    for (; exponent < 0; ++exponent) value *= 0.5;
    return value;
}

/// Units of bins -(kNormSlices - 1) .. kNormBins - 1: those below bin 0 are cut off but never stored.
[[nodiscard]] inline double norm_unit(int bin) {
    static constexpr auto units = [] {
        std::array<double, kernel::kNormBins + kNormSlices - 1> table{};
        for (int i = 0; i < static_cast<int>(table.size()); ++i)
            table[static_cast<std::size_t>(i)] = power_of_two(kNormLowestExponent + kNormBinBits * (i - kNormSlices + 1));
        return table;
    }();
    return units[static_cast<std::size_t>(bin + kNormSlices - 1)];
}

/// The highest bin in which the square rounds to at least one unit (a half rounds to zero); -1 = none.
[[nodiscard]] inline int top_norm_bin(double square) {
    int bin = kernel::kNormBins - 1;
    while (bin >= 0 && square <= 0.5 * norm_unit(bin)) --bin;
    return bin;
}

/// The sum that the bins stand for; NaN when an element was infinite or NaN.
[[nodiscard]] inline double sum_of_norm_bins(std::span<const double> bins) {
    int top = kernel::kNormBins - 1;
    for (const double bin : bins)
        if (!std::isfinite(bin)) return std::numeric_limits<double>::quiet_NaN();
    while (top >= 0 && bins[static_cast<std::size_t>(top)] == 0.0) --top;
    double sum = 0.0;
    for (int bin = std::max(0, top - kNormSlices + 1); bin <= top; ++bin) sum += bins[static_cast<std::size_t>(bin)];
    return sum;
}

} // namespace zerosim::device
