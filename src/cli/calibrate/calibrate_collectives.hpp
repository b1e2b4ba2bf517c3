// Which collectives `calibrate` measures, and which of its rounds counts.
// Called by calibrate_machine on every rank.
// Does not measure and does not fit.
#pragma once

#include "cli/collectives/collective_benchmark.hpp"

#include <vector>

namespace zerosim::cli {

/// Sizes from a scalar's to beyond the caches: latency shows at one end, bandwidth at the other.
[[nodiscard]] std::vector<CollectiveCase> collective_cases(int repeats);
/// Again, as within a step: before each, a kernel of every rank reads and writes four times its core's own cache, or as much as the last-level
/// cache.
[[nodiscard]] std::vector<CollectiveCase> cold_cases(int repeats);

/// A sample, and what the reference (link_reference) took right before and after it (geometric mean).
struct LinkSample {
    CollectiveSample sample;
    double reference_seconds = 0;
};
/// Every case in turn. Called on every rank; the result is the same on all.
[[nodiscard]] std::vector<LinkSample> measure_links(TeamRank& rank, const std::vector<CollectiveCase>& cases);

/// Links have no least time that counts: where a hypervisor moves cores between caches, all messages take 1.7 times as long for a while. So that
/// all samples are of one state, the reference's median is that of the middle one, and of each case's rounds one near it counts.
struct SteadyLinks {
    std::vector<CollectiveSample> samples;
    double reference_seconds = 0;    // the reference's median
    double fastest = 1, slowest = 1; // the reference's 10th and 90th percentile over its median
    std::int64_t unsteady = 0;       // cases that were never measured near it
};
/// `rounds`: the same cases in each.
[[nodiscard]] SteadyLinks steady_links(const std::vector<std::vector<LinkSample>>& rounds);

} // namespace zerosim::cli
