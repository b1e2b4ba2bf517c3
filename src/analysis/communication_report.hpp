// What one rank's collectives moved in a steady step, by kind, axis and phase, and how fast.
// Called by analyze().
// Never mixes message and sent bytes, and keeps scalars (loss, norm) apart.
#pragma once

#include "analysis/breakdown.hpp"
#include "analysis/run_report.hpp"
#include "schedule/schedule.hpp"

#include <span>
#include <vector>

namespace zerosim::analysis {

[[nodiscard]] bool is_scalar(const CollectiveReport& row);
/// Bytes and counts of the steady step of `rank`; seconds are medians over `steps` (that rank's, with their breakdowns; may be empty).
[[nodiscard]] std::vector<CollectiveReport> communication_report(const schedule::Schedule& schedule, std::int64_t rank,
                                                                 std::span<const StepTimes> steps, std::span<const Breakdown> breakdowns);

}  // namespace zerosim::analysis
