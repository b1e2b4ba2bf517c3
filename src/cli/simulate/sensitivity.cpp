#include "cli/simulate/sensitivity.hpp"

#include "analysis/analyze.hpp"
#include "cli/facts.hpp"
#include "cluster/improve.hpp"
#include "cost/collective_choice.hpp"
#include "sim/simulate.hpp"

#include <algorithm>
#include <set>
#include <tuple>

namespace zerosim::cli {
namespace {

/// Collectives of a step (equal ones count once) that `better` would run with another algorithm or protocol. The library chooses by its
/// own estimates, so that it may choose worse.
std::int64_t other_algorithms(const schedule::Schedule& schedule, const cluster::Cluster& cluster, const cluster::Cluster& better) {
    if (cluster.device.is_cpu || cluster.free_communication) return 0;
    std::set<std::tuple<AxisId, CollectiveKind, std::int64_t>> seen;
    std::int64_t others = 0;
    for (const schedule::Program& program : schedule.programs)
        for (const schedule::Op& op : program.ops) {
            if (op.kind != schedule::OpKind::collective) continue;
            const schedule::Collective& c = program.collective_of(op);
            const schedule::Axis& axis = schedule.axis(c.axis);
            const std::int64_t bytes = schedule::message_bytes(program, c);
            if (axis.size <= 1 || !seen.insert({c.axis, c.kind, bytes}).second) continue;
            const auto chosen = [&](const cluster::Cluster& on) { return cost::collective_choice(c.kind, bytes, axis.size, axis.stride, on, schedule.ranks); };
            const cost::CollectiveChoice now = chosen(cluster), then = chosen(better);
            others += now.algorithm != then.algorithm || now.protocol != then.protocol;
        }
    return others;
}

}  // namespace

std::vector<analysis::SensitivityRow> sensitivity(const Simulated& asked, const config::Resolved& resolved) {
    constexpr double kImprovement = 0.1;
    const cluster::Cluster& cluster = resolved.scenario.cluster;
    const analysis::Facts facts = facts_of(resolved, asked.schedule);
    std::vector<analysis::SensitivityRow> rows;
    for (const cluster::Resource resource : cluster::all_resources()) {
        const cluster::Cluster better = cluster::improved(cluster, resource, 1 + kImprovement);
        const trace::Trace trace = sim::simulate_until_steady(asked.schedule, better, kSimulatedSteps, kMostSimulatedSteps);
        const double step = analysis::analyze(asked.schedule, trace, better, facts).time.step;
        rows.push_back({cluster::name(resource, cluster), kImprovement, step, asked.report.time.step > 0 ? step / asked.report.time.step - 1 : 0,
                        other_algorithms(asked.schedule, cluster, better)});
    }
    std::ranges::stable_sort(rows, {}, &analysis::SensitivityRow::change);
    return rows;
}

}  // namespace zerosim::cli
