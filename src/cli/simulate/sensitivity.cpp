#include "cli/simulate/sensitivity.hpp"

#include "analysis/analyze.hpp"
#include "cli/simulate/library_choice.hpp"
#include "cluster/improve.hpp"
#include "sim/simulate.hpp"

#include <algorithm>

namespace zerosim::cli {

std::vector<analysis::SensitivityRow> sensitivity(const Simulated& asked, const config::Resolved& resolved) {
    constexpr double kImprovement = 0.1;
    const cluster::Cluster& cluster = resolved.scenario.cluster;
    std::vector<analysis::SensitivityRow> rows;
    for (const cluster::Resource resource : cluster::all_resources()) {
        const cluster::Cluster better = cluster::improved(cluster, resource, 1 + kImprovement);
        const trace::Trace trace = sim::simulate_until_steady(asked.schedule, better, kSimulatedSteps, kMostSimulatedSteps, {.bookkeeping_rows = false});
        const double step = analysis::slowest_time(asked.schedule, trace).step;
        rows.push_back({cluster::name(resource, cluster), kImprovement, step, asked.report.time.step > 0 ? step / asked.report.time.step - 1 : 0,
                        chosen_otherwise(asked.schedule, cluster, std::vector(asked.schedule.axes.size(), std::vector{better}))});
    }
    std::ranges::stable_sort(rows, {}, &analysis::SensitivityRow::change);
    return rows;
}

}  // namespace zerosim::cli
