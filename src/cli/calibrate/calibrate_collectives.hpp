// Which collectives `calibrate` measures, and which of its rounds counts.
// Called by calibrate_machine on every rank.
// Does not measure and does not fit.
#pragma once

#include "cli/collectives/collective_benchmark.hpp"

#include <vector>

namespace zerosim::cli {

/// Sizes from a scalar's to beyond the caches: latency shows at one end, bandwidth at the other.
[[nodiscard]] std::vector<CollectiveCase> collective_cases(int repeats);
/// Again, as within a step of a model that no cache holds: before each, every rank writes as much other memory as the last-level cache.
[[nodiscard]] std::vector<CollectiveCase> cold_cases(int repeats);
/// Links have no least time that counts: where a hypervisor moves cores between caches, all messages take 1.7 times as long for a while.
/// The round whose samples took the middle time on the whole, so that all are of one such while.
struct MiddleRound {
    std::vector<CollectiveSample> samples;
    double fastest = 1, slowest = 1; // what the other rounds took of these times, on geometric mean
};
[[nodiscard]] MiddleRound middle_round(const std::vector<std::vector<CollectiveSample>>& rounds);

} // namespace zerosim::cli
