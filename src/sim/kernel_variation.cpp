#include "sim/kernel_variation.hpp"

#include "base/rng.hpp"

namespace zerosim::sim {

KernelVariation::KernelVariation(const cluster::Variation& variation, const Lanes& lanes, const std::vector<double>& factors)
    : seed_(variation.seed) {
    for (const std::int64_t rank : lanes.ranks) {
        ranks_.push_back(static_cast<std::uint64_t>(rank));
        factors_.push_back(factors[static_cast<std::size_t>(rank)]);
    }
    if (variation.jitter > 0) jitter_.emplace(variation.jitter);
}

void KernelVariation::lengths(Times& lasts, std::uint32_t first_lane, std::int64_t alone, int step, std::size_t op) const {
    const auto time = static_cast<double>(alone);
    if (jitter_) return draw(lasts, first_lane, time, hash64(hash64(hash64(seed_, static_cast<std::uint64_t>(step)), op)));
    for (std::size_t lane = 0; lane < lasts.size(); ++lane) lasts[lane] = rounded(time * factors_[first_lane + lane]);
}

void KernelVariation::draw(Times& lasts, std::uint32_t first_lane, double alone, std::uint64_t draw) const {
    const double* factors = factors_.data() + first_lane;
    const std::uint64_t* ranks = ranks_.data() + first_lane;
    for (std::size_t lane = 0; lane < lasts.size(); ++lane) lasts[lane] = rounded(alone * (factors[lane] * jitter_->at(hash64(draw ^ ranks[lane]))));
}

} // namespace zerosim::sim
