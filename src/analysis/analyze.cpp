#include "analysis/analyze.hpp"

#include "analysis/breakdown.hpp"
#include "analysis/communication_report.hpp"
#include "analysis/critical_path.hpp"
#include "analysis/gap.hpp"
#include "analysis/median.hpp"
#include "analysis/roofline.hpp"
#include "analysis/step_interval.hpp"
#include "analysis/step_parts.hpp"
#include "analysis/step_times.hpp"
#include "base/error.hpp"
#include "trace/matching.hpp"

#include <algorithm>
#include <numeric>

namespace zerosim::analysis {
namespace {

constexpr double kSecondsPerNanosecond = 1e-9;

/// The steps of one rank that times are taken over.
struct RankSteps {
    std::vector<StepTimes> steps;
    std::vector<Breakdown> breakdowns;
};

RankSteps rank_steps(const schedule::Schedule& schedule, const trace::Trace& trace, std::span<const trace::MatchedCollective> matched, std::size_t index) {
    RankSteps result{timed_steps(schedule, trace, matched, index), {}};
    for (const StepTimes& step : result.steps) result.breakdowns.push_back(breakdown(step));
    return result;
}

TimeReport time_report(std::span<const Breakdown> breakdowns) {
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
    if (!trace.simulated || !trace.statistics.empty() || trace.ranks.size() != schedule.roles.size()) return 1;
    for (const schedule::RankRole& role : schedule.roles)
        if (role.first_rank == rank) return role.count;
    return 1;
}

void add_rank(RunReport& report, const schedule::Schedule& schedule, const trace::Trace& trace, const cluster::Cluster& cluster,
              const Facts& facts, const RankSteps& steps, std::size_t index) {
    const trace::RankTrace& rank = trace.ranks[index];
    RankReport entry{rank.rank, ranks_behind(schedule, trace, rank.rank), memory_report(schedule, rank.rank, cluster, facts.memory_of(rank.rank)),
                     time_report(steps.breakdowns)};
    if (!trace.simulated) {
        if (!report.prediction)
            report.prediction = PredictionReport{entry.memory.peak_allocated, entry.memory.after_step, 0, 0, 0, 0, {}};
        const HandedOut measured = handed_out(schedule, rank);
        if (measured.compared_ops > 0) use_handed_out(entry.memory, measured);
        report.prediction->compared_ops += measured.compared_ops;
        report.prediction->largest_difference = std::max(report.prediction->largest_difference, measured.largest_difference);
    }
    if (index == 0) report.collectives = communication_report(schedule, rank.rank, steps.steps, steps.breakdowns);
    report.ranks.push_back(std::move(entry));
}

/// Parts, roofline and critical path of the slowest rank's median step (the lower of the middle two).
void add_step(RunReport& report, const schedule::Schedule& schedule, const trace::Trace& trace, const cluster::Cluster& cluster,
              std::span<const trace::MatchedCollective> matched, const RankSteps& own, std::size_t slowest) {
    if (own.steps.empty()) return;
    report.step_parts = step_parts(schedule, own.steps, own.breakdowns);
    std::vector<std::size_t> order(own.steps.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, {}, [&](std::size_t i) { return own.steps[i].length(); });
    const std::size_t median_step = order[(order.size() - 1) / 2];
    report.roofline = roofline(own.steps[median_step], own.breakdowns[median_step], cluster, schedule.ranks);
    std::vector<std::int64_t> numbers;
    for (const trace::RankTrace& rank : trace.ranks) numbers.push_back(rank.rank);
    const StepOfRank steps = steps_of_ranks(schedule, trace, matched, own.steps[median_step].step);
    report.critical_path = path_report(schedule, critical_path(steps, slowest), numbers);
}

void add_totals(RunReport& report, const Facts& facts) {
    for (const CollectiveReport& row : report.collectives) {
        if (is_scalar(row)) continue;
        report.message_bytes += row.message_bytes;
        report.sent_bytes += row.sent_bytes;
    }
    if (report.time.step <= 0) return;
    report.tokens_per_second_per_device = static_cast<double>(facts.tokens_per_step_per_rank) / report.time.step;
    report.model_flops = facts.flops_per_token * static_cast<double>(facts.tokens_per_step_per_rank);
    if (facts.peak_flops <= 0) return;
    report.model_flops_utilization = report.tokens_per_second_per_device * facts.flops_per_token / facts.peak_flops;
    report.hardware_flops_utilization = report.hardware_flops / report.time.step / facts.peak_flops;
    report.peak_flops = facts.peak_flops;
    report.peak_dtype = facts.peak_dtype;
    if (facts.peak_16_bit_flops > 0) report.utilization_of_16_bit_peak = report.model_flops_utilization * facts.peak_flops / facts.peak_16_bit_flops;
}

}  // namespace

const RankReport* RunReport::largest_rank() const {
    const auto largest = std::ranges::max_element(ranks, {}, [](const RankReport& rank) { return rank.memory.peak_allocated; });
    return largest == ranks.end() ? nullptr : &*largest;
}

TimeReport slowest_time(const schedule::Schedule& schedule, const trace::Trace& trace) {
    const auto matched = trace::match_collectives(schedule, trace);
    TimeReport slowest;
    for (std::size_t index = 0; index < trace.ranks.size(); ++index)
        if (TimeReport time = time_report(rank_steps(schedule, trace, matched, index).breakdowns); index == 0 || time.step > slowest.step) slowest = time;
    return slowest;
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
    RankSteps of_slowest; // those of all ranks at once are larger than the trace
    std::size_t slowest = 0;
    for (std::size_t index = 0; index < trace.ranks.size(); ++index) {
        RankSteps steps = rank_steps(schedule, trace, matched, index);
        add_rank(report, schedule, trace, cluster, facts, steps, index);
        if (index > 0 && report.ranks.back().time.step <= report.ranks[slowest].time.step) continue;
        slowest = index;
        of_slowest = std::move(steps);
    }
    report.memory = report.ranks.front().memory;
    report.time = report.ranks[slowest].time;
    report.hardware_flops = hardware_flops(schedule.program_of(report.ranks[slowest].rank));
    add_step(report, schedule, trace, cluster, matched, of_slowest, slowest);
    if (report.time.step <= 0) report.time.step = facts.untraced_step_seconds;
    add_totals(report, facts);
    if (trace.simulated && facts.residuals && !report.step_parts.empty())
        report.step_interval = step_interval(schedule, cluster, report.step_parts, *facts.residuals);
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
