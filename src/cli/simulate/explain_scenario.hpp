// The explanation of a scenario's peak: holders from its schedule, savings from planning each change; and the estimators beside.
// Called by simulate and run for --explain and --estimators.
// Does not print: report/ renders what lands in the RunReport.
#pragma once

#include "cli/simulate/replan.hpp"
#include "schedule/schedule.hpp"

namespace zerosim::cli {

/// Fills what the options ask for: `explanation`, `estimates`.
void add_explanations(analysis::RunReport& report, const schedule::Schedule& schedule, const config::Resolved& resolved, Replanner& replanner);

}  // namespace zerosim::cli
