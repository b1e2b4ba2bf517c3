// How long a kernel takes on each rank's device: its time on an undisturbed one, times the device's own factor and the jitter's draw.
// Used by sim::simulate when it keeps a clock for every rank.
// A draw is a function of (seed, step, op, rank): no state, the same in any order.
#pragma once

#include "cluster/variation.hpp"
#include "sim/lane_times.hpp"
#include "sim/lanes.hpp"
#include "sim/rank_variation.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace zerosim::sim {

class KernelVariation {
public:
    /// `factors` by rank, as device_factors() has them.
    KernelVariation(const cluster::Variation& variation, const Lanes& lanes, const std::vector<double>& factors);
    /// Into `lasts`, by lane from `first_lane` on.
    void lengths(Times& lasts, std::uint32_t first_lane, std::int64_t alone, int step, std::size_t op) const;

private:
    void draw(Times& lasts, std::uint32_t first_lane, double alone, std::uint64_t draw) const;

    std::uint64_t seed_;
    std::vector<std::uint64_t> ranks_; // by lane
    std::vector<double> factors_;      // by lane
    std::optional<Lognormal> jitter_;
};

} // namespace zerosim::sim
