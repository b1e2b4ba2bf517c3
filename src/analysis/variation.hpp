// Who waits for whom when ranks are not alike: from the statistics of a simulation that keeps a clock for every rank.
// Called by cli/ for a simulated job with variation.*.
// Does not simulate: the caller brings the times without variation.
#pragma once

#include "analysis/run_report.hpp"
#include "trace/trace.hpp"

namespace zerosim::analysis {

/// Ranks listed as waited for.
inline constexpr std::size_t kMostWaitedFor = 5;

/// `varied`: the report of that simulation; `undisturbed`: the times of the same step without variation.*.
[[nodiscard]] VariationReport variation_report(const trace::Trace& trace, const RunReport& varied, const TimeReport& undisturbed);

}  // namespace zerosim::analysis
