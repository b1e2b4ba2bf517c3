// What the step would gain from 10 % more of each resource: the same schedule, simulated on improved clusters.
// Called by command_simulate for --sensitivity.
// Does not plan again: what a planner chose stays.
#pragma once

#include "cli/simulate/simulate_report.hpp"

namespace zerosim::cli {

/// Largest gain first.
[[nodiscard]] std::vector<analysis::SensitivityRow> sensitivity(const Simulated& asked, const config::Resolved& resolved);

}  // namespace zerosim::cli
