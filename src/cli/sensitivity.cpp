#include "cli/sensitivity.hpp"

#include "analysis/analyze.hpp"
#include "cli/facts.hpp"
#include "cluster/improve.hpp"
#include "sim/simulate.hpp"

#include <algorithm>

namespace zerosim::cli {

std::vector<analysis::SensitivityRow> sensitivity(const Simulated& asked, const config::Resolved& resolved) {
    constexpr double kImprovement = 0.1;
    const cluster::Cluster& cluster = resolved.scenario.cluster;
    const analysis::Facts facts = facts_of(resolved, asked.schedule);
    std::vector<analysis::SensitivityRow> rows;
    for (const cluster::Resource resource : cluster::all_resources()) {
        const cluster::Cluster better = cluster::improved(cluster, resource, 1 + kImprovement);
        const trace::Trace trace = sim::simulate(asked.schedule, better, kSimulatedSteps);
        const double step = analysis::analyze(asked.schedule, trace, better, facts).time.step;
        rows.push_back({cluster::name(resource, cluster), kImprovement, step, asked.report.time.step > 0 ? step / asked.report.time.step - 1 : 0});
    }
    std::ranges::stable_sort(rows, {}, &analysis::SensitivityRow::change);
    return rows;
}

}  // namespace zerosim::cli
