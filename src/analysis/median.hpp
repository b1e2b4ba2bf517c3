// The median of a few samples.
// Used by the reports of times.
// Does not weigh or reject samples.
#pragma once

#include <algorithm>
#include <vector>

namespace zerosim::analysis {

/// The mean of the two middle samples where their number is even; 0 of none.
[[nodiscard]] inline double median(std::vector<double> samples) {
    if (samples.empty()) return 0;
    std::ranges::sort(samples);
    const std::size_t half = samples.size() / 2;
    return samples.size() % 2 == 1 ? samples[half] : 0.5 * (samples[half - 1] + samples[half]);
}

}  // namespace zerosim::analysis
