#include "cost/slowest_device.hpp"

#include <cmath>

namespace zerosim::cost {
namespace {

// Sinha et al., "Not All GPUs Are Created Equal", SC22 (arXiv 2208.11035v3, abstract): 8 % variation of performance on average over five
// systems of equal GPUs, outliers apart. Assumed: that this is the distance between the whiskers of a box plot (quartiles -+ 1.5 times
// their distance) of normal times, 5.4 standard deviations.
constexpr double kStandardDeviation = 0.08 / 5.4;
constexpr std::int64_t kFittedRanks = 8;

/// Quantile of the standard normal for p above 1/2: Abramowitz and Stegun 26.2.23, error below 4.5e-4.
double normal_quantile(double p) {
    const double t = std::sqrt(-2 * std::log(1 - p));
    return t - (2.515517 + 0.802853 * t + 0.010328 * t * t) / (1 + 1.432788 * t + 0.189269 * t * t + 0.001308 * t * t * t);
}

/// Of `count` independent ones, the largest (Blom 1958, "Statistical Estimates and Transformed Beta-Variables").
double expected_largest(std::int64_t count) {
    const auto n = static_cast<double>(count);
    return normal_quantile((n - 0.375) / (n + 0.25));
}

} // namespace

double slowest_device_factor(const cluster::Cluster& cluster, std::int64_t ranks) {
    const bool alike = cluster.device.is_cpu || cluster.device.generation.empty() || cluster.free_communication ||
                       cluster.variation.device_spread > 0;
    if (alike || ranks <= kFittedRanks) return 1.0;
    return 1 + kStandardDeviation * (expected_largest(ranks) - expected_largest(kFittedRanks));
}

} // namespace zerosim::cost
