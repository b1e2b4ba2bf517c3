// A resolved scenario, planned and simulated, as a report.
// Called by compare (two strategies) and simulate.
// Does not print.
#pragma once

#include "analysis/run_report.hpp"
#include "config/resolve.hpp"

namespace zerosim::cli {

[[nodiscard]] analysis::RunReport simulate_report(const config::Resolved& resolved);

}  // namespace zerosim::cli
