#include "analysis/analyze.hpp"

#include "analysis/breakdown.hpp"
#include "analysis/communication_report.hpp"
#include "analysis/gap.hpp"
#include "analysis/median.hpp"
#include "analysis/step_times.hpp"
#include "base/error.hpp"
#include "trace/matching.hpp"

#include <algorithm>

namespace zerosim::analysis {
namespace {

constexpr double kSecondsPerNanosecond = 1e-9;

TimeReport time_report(std::span<const StepTimes> steps) {
    std::vector<Breakdown> breakdowns;
    for (const StepTimes& step : steps) breakdowns.push_back(breakdown(step));
    const auto seconds = [&](auto value) {
        std::vector<double> samples;
        for (const Breakdown& step : breakdowns) samples.push_back(static_cast<double>(value(step)) * kSecondsPerNanosecond);
        return median(std::move(samples));
    };
    TimeReport report;
    report.step = seconds([](const Breakdown& b) { return b.step; });
    report.forward = seconds([](const Breakdown& b) { return b.forward; });
    report.backward = seconds([](const Breakdown& b) { return b.backward; });
    report.optimizer = seconds([](const Breakdown& b) { return b.optimizer; });
    report.compute = seconds([](const Breakdown& b) { return b.compute(); });
    report.communication = seconds([](const Breakdown& b) { return b.communication; });
    report.exposed_communication = seconds([](const Breakdown& b) { return b.idle.exposed_communication(); });
    return report;
}

/// How many ranks the trace's entry stands for: itself, or its role where a simulation keeps one rank a role.
std::int64_t ranks_behind(const schedule::Schedule& schedule, const trace::Trace& trace, std::int64_t rank) {
    if (!trace.simulated || trace.ranks.size() != schedule.roles.size()) return 1;
    for (const schedule::RankRole& role : schedule.roles)
        if (role.first_rank == rank) return role.count;
    return 1;
}

void add_rank(RunReport& report, const schedule::Schedule& schedule, const trace::Trace& trace, const cluster::Cluster& cluster,
              const Facts& facts, std::span<const trace::MatchedCollective> matched, std::size_t index) {
    const trace::RankTrace& rank = trace.ranks[index];
    const std::vector<StepTimes> steps = timed_steps(schedule, trace, matched, index);
    RankReport entry{rank.rank, ranks_behind(schedule, trace, rank.rank), memory_report(schedule, rank.rank, cluster, facts.memory),
                     time_report(steps)};
    if (!trace.simulated) {
        if (!report.prediction)
            report.prediction = PredictionReport{entry.memory.peak_allocated, entry.memory.after_step, 0, 0, 0, 0, {}};
        const HandedOut measured = handed_out(schedule, rank);
        if (measured.compared_ops > 0) use_handed_out(entry.memory, measured);
        report.prediction->compared_ops += measured.compared_ops;
        report.prediction->largest_difference = std::max(report.prediction->largest_difference, measured.largest_difference);
    }
    if (index == 0) report.collectives = communication_report(schedule, rank.rank, steps);
    report.ranks.push_back(std::move(entry));
}

void add_totals(RunReport& report, const Facts& facts) {
    for (const CollectiveReport& row : report.collectives) {
        if (is_scalar(row)) continue;
        report.message_bytes += row.message_bytes;
        report.sent_bytes += row.sent_bytes;
    }
    if (report.time.step <= 0) return;
    report.tokens_per_second_per_device = static_cast<double>(facts.tokens_per_step_per_rank) / report.time.step;
    if (facts.peak_flops > 0)
        report.model_flops_utilization = report.tokens_per_second_per_device * facts.flops_per_token / facts.peak_flops;
}

}  // namespace

const RankReport* RunReport::largest_rank() const {
    const auto largest = std::ranges::max_element(ranks, {}, [](const RankReport& rank) { return rank.memory.peak_allocated; });
    return largest == ranks.end() ? nullptr : &*largest;
}

RunReport analyze(const schedule::Schedule& schedule, const trace::Trace& trace, const cluster::Cluster& cluster, const Facts& facts) {
    check(!trace.ranks.empty(), "a report needs the trace of at least one rank");
    RunReport report;
    report.scenario = facts.scenario;
    report.simulated = trace.simulated;
    report.parameters = facts.parameters;
    report.trainable_parameters = facts.trainable_parameters;
    report.training = facts.training;
    report.formula = facts.formula;
    const auto matched = trace::match_collectives(schedule, trace);
    for (std::size_t index = 0; index < trace.ranks.size(); ++index)
        add_rank(report, schedule, trace, cluster, facts, matched, index);
    report.memory = report.ranks.front().memory;
    report.time = std::ranges::max_element(report.ranks, {}, [](const RankReport& rank) { return rank.time.step; })->time;
    if (report.time.step <= 0) report.time.step = facts.untraced_step_seconds;
    add_totals(report, facts);
    return report;
}

void add_prediction(RunReport& report, const schedule::Schedule& schedule, const trace::Trace& predicted, const trace::Trace& measured) {
    const StepGap gap = step_gap(schedule, predicted, measured);
    if (!report.prediction) report.prediction.emplace();
    report.prediction->step = static_cast<double>(gap.predicted_step) * kSecondsPerNanosecond;
    report.prediction->measured_step = static_cast<double>(gap.measured_step) * kSecondsPerNanosecond;
    report.prediction->gap.clear();
    for (const StepGap::Part& part : gap.parts)
        report.prediction->gap.push_back({part.cause, static_cast<double>(part.predicted) * kSecondsPerNanosecond,
                                          static_cast<double>(part.measured) * kSecondsPerNanosecond});
}

}  // namespace zerosim::analysis
