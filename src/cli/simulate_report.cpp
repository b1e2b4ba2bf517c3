#include "cli/simulate_report.hpp"

#include "analysis/analyze.hpp"
#include "cli/facts.hpp"
#include "sim/simulate.hpp"
#include "strategy/plan.hpp"

namespace zerosim::cli {

Simulated simulate(const config::Resolved& resolved) {
    Simulated result;
    result.schedule = strategy::plan(resolved.scenario);
    result.trace = sim::simulate(result.schedule, resolved.scenario.cluster, kSimulatedSteps);
    result.report = analysis::analyze(result.schedule, result.trace, resolved.scenario.cluster, facts_of(resolved, result.schedule));
    return result;
}

analysis::RunReport simulate_report(const config::Resolved& resolved) { return simulate(resolved).report; }

}  // namespace zerosim::cli
