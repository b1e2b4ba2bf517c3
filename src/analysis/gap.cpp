#include "analysis/gap.hpp"

#include "analysis/breakdown.hpp"
#include "analysis/intervals.hpp"
#include "analysis/step_times.hpp"
#include "base/error.hpp"
#include "trace/matching.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace zerosim::analysis {
namespace {

/// The lower median step of a rank by length.
StepTimes median_step(const schedule::Schedule& schedule, const trace::Trace& trace, std::span<const trace::MatchedCollective> matched,
                      std::size_t rank_index) {
    std::vector<StepTimes> steps = timed_steps(schedule, trace, matched, rank_index);
    check(!steps.empty(), "a gap needs a trace with at least one step");
    std::ranges::stable_sort(steps, {}, &StepTimes::length);
    return std::move(steps[(steps.size() - 1) / 2]);
}

/// Where `trace` describes `rank`: itself, or the last listed rank before it (its role's first).
std::size_t index_of(const trace::Trace& trace, const schedule::Schedule& schedule, std::int64_t rank) {
    for (std::size_t i = 0; i < trace.ranks.size(); ++i)
        if (trace.ranks[i].rank == rank) return i;
    for (std::size_t i = 0; i < trace.ranks.size(); ++i)
        if (&schedule.program_of(trace.ranks[i].rank) == &schedule.program_of(rank)) return i;
    throw BugError("the predicted trace has no rank of the measured rank's role");
}

bool overlaps(const std::vector<Interval>& collectives, Interval op) {
    return std::ranges::any_of(collectives, [&](const Interval& c) { return c.begin < op.end && op.begin < c.end; });
}

/// What a class of kernels lost to running beside collectives.
struct ClassContention {
    double alone_predicted = 0, alone_measured = 0, beside_predicted = 0, beside_measured = 0;
    [[nodiscard]] std::int64_t excess() const {
        if (alone_predicted <= 0 || beside_predicted <= 0) return 0;   // nothing to compare with: the class keeps it all
        return std::max<std::int64_t>(0, std::llround(beside_measured - beside_predicted * alone_measured / alone_predicted));
    }
};

/// Joins the two steps op by op.
std::array<std::int64_t, kWorkClasses> contention(const StepTimes& predicted, const StepTimes& measured) {
    std::vector<Interval> collectives;
    for (const trace::OpTime& row : measured.rows)
        if (measured.program->ops[row.op].kind == schedule::OpKind::collective) collectives.push_back({row.begin, row.end});
    std::array<ClassContention, kWorkClasses> classes{};
    for (const trace::OpTime& row : measured.rows) {
        const schedule::Op& op = measured.program->ops[row.op];
        const std::size_t kind = work_class(*measured.program, op);
        const trace::OpTime* other = predicted.find(OpId{row.op});
        if (kind == kWorkClasses || other == nullptr) continue;
        if (measured.program->streams[op.stream.index()].kind != schedule::StreamKind::compute) continue;
        const bool beside = overlaps(collectives, {row.begin, row.end});
        (beside ? classes[kind].beside_predicted : classes[kind].alone_predicted) += static_cast<double>(other->end - other->begin);
        (beside ? classes[kind].beside_measured : classes[kind].alone_measured) += static_cast<double>(row.end - row.begin);
    }
    std::array<std::int64_t, kWorkClasses> excess{};
    std::ranges::transform(classes, excess.begin(), &ClassContention::excess);
    return excess;
}

StepGap split(const StepTimes& predicted, const StepTimes& measured, std::int64_t rank) {
    const Breakdown p = breakdown(predicted), m = breakdown(measured);
    const auto excess = contention(predicted, measured);
    StepGap gap{rank, p.step, m.step, {}};
    std::int64_t beside = m.idle.other_streams;
    for (std::size_t kind = 0; kind < kWorkClasses; ++kind) {
        const std::int64_t moved = std::min(excess[kind], m.busy[kind]);
        beside += moved;
        if (p.busy[kind] != 0 || m.busy[kind] != 0)
            gap.parts.push_back({std::string(work_class_name(kind)), p.busy[kind], m.busy[kind] - moved});
    }
    gap.parts.push_back({"exposed collectives", p.idle.collectives, m.idle.collectives});
    gap.parts.push_back({"late peers", p.idle.late_peers, m.idle.late_peers});
    gap.parts.push_back({"host issue", p.idle.host, m.idle.host});
    gap.parts.push_back({"contention", p.idle.other_streams, beside});
    return gap;
}

}  // namespace

StepGap step_gap(const schedule::Schedule& schedule, const trace::Trace& predicted, const trace::Trace& measured) {
    const auto matched = trace::match_collectives(schedule, measured);
    std::size_t slowest = 0;
    StepTimes slowest_step;
    for (std::size_t i = 0; i < measured.ranks.size(); ++i) {
        StepTimes step = median_step(schedule, measured, matched, i);
        if (i != 0 && step.length() <= slowest_step.length()) continue;
        slowest = i;
        slowest_step = std::move(step);
    }
    const std::int64_t rank = measured.ranks.at(slowest).rank;
    const auto predicted_matches = trace::match_collectives(schedule, predicted);
    const StepTimes expected = median_step(schedule, predicted, predicted_matches, index_of(predicted, schedule, rank));
    return split(expected, slowest_step, rank);
}

}  // namespace zerosim::analysis
