// A resolved scenario, planned and simulated: its schedule, trace and report.
// Called by simulate, by run (the prediction beside the measurement) and by compare (strategies).
// Does not print.
#pragma once

#include "analysis/run_report.hpp"
#include "config/resolve.hpp"
#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

namespace zerosim::cli {

/// init, the first and two steady steps; where ranks differ, up to five more until two take the same time.
inline constexpr int kSimulatedSteps = 3, kMostSimulatedSteps = 8;

struct Simulated {
    schedule::Schedule schedule;
    trace::Trace trace;
    analysis::RunReport report;
};
[[nodiscard]] Simulated simulate(const config::Resolved& resolved);
[[nodiscard]] analysis::RunReport simulate_report(const config::Resolved& resolved);

}  // namespace zerosim::cli
