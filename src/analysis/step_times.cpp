#include "analysis/step_times.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <map>

namespace zerosim::analysis {
namespace {

trace::OpTime aligned(trace::OpTime time, std::int64_t offset) {
    time.issue += offset;
    time.begin += offset;
    time.end += offset;
    return time;
}

StepTimes slice(const schedule::Program& program, const trace::RankTrace& rank, std::int32_t step) {
    StepTimes result;
    result.program = &program;
    result.step = step;
    std::tie(result.first_op, result.last_op) = program.bounds(program.segment_of_step(step));
    result.row_of_op.assign(result.last_op - result.first_op, -1);
    result.last_begin.assign(result.last_op - result.first_op, INT64_MIN);
    result.last_member.assign(result.last_op - result.first_op, {});
    const auto rows = std::ranges::equal_range(rank.times, step, {}, &trace::OpTime::step);
    result.rows.reserve(rows.size());
    for (const trace::OpTime& raw : rows) {
        check(raw.op >= result.first_op && raw.op < result.last_op, "a traced op lies outside the segment of its step");
        const trace::OpTime time = aligned(raw, rank.clock_offset);
        result.start = result.rows.empty() ? time.issue : std::min(result.start, time.issue);
        result.end = result.rows.empty() ? time.end : std::max(result.end, time.end);
        result.row_of_op[raw.op - result.first_op] = static_cast<std::int32_t>(result.rows.size());
        result.rows.push_back(time);
        if (program.ops[raw.op].kind == schedule::OpKind::collective) result.last_begin[raw.op - result.first_op] = time.begin;
    }
    return result;
}

void raise_last_begins(std::map<std::int32_t, StepTimes>& steps, const trace::Trace& trace,
                       std::span<const trace::MatchedCollective> matched, std::size_t rank_index) {
    for (const trace::MatchedCollective& collective : matched) {
        const auto step = steps.find(collective.step);
        if (step == steps.end()) continue;
        const trace::OpTime* own = nullptr;
        std::int64_t last = INT64_MIN;
        StepTimes::Member latest;
        for (const auto& member : collective.members) {
            const trace::RankTrace& rank = trace.ranks[member.rank_index];
            const trace::OpTime& row = rank.times[member.row];
            if (row.begin + rank.clock_offset > last) {
                last = row.begin + rank.clock_offset;
                latest = {static_cast<std::int32_t>(member.rank_index), row.op};
            }
            if (member.rank_index == rank_index) own = &row;
        }
        if (own == nullptr) continue;
        step->second.last_begin[own->op - step->second.first_op] = last;
        step->second.last_member[own->op - step->second.first_op] = latest;
    }
}

/// A simulation that keeps few of its ranks says when the last member came, be it kept or not.
void use_last_arrivals(std::map<std::int32_t, StepTimes>& steps, const trace::RankTrace& rank, const schedule::Program& program) {
    auto arrival = rank.last_arrivals.begin();
    for (const trace::OpTime& row : rank.times) {
        if (arrival == rank.last_arrivals.end() || program.ops[row.op].kind != schedule::OpKind::collective) continue;
        const std::int64_t last = *arrival++;
        if (const auto step = steps.find(row.step); step != steps.end()) {
            std::int64_t& begin = step->second.last_begin[row.op - step->second.first_op];
            begin = std::max(begin, last);
        }
    }
}

/// Rows of steps [first, last] of a rank, with when the others came; steps without rows are left out.
std::vector<StepTimes> steps_between(const schedule::Schedule& schedule, const trace::Trace& trace, std::span<const trace::MatchedCollective> matched,
                                     std::size_t rank_index, std::int32_t first, std::int32_t last) {
    const trace::RankTrace& rank = trace.ranks.at(rank_index);
    check(std::ranges::is_sorted(rank.times, {}, &trace::OpTime::step), "a trace holds its rows in issue order");
    std::map<std::int32_t, StepTimes> steps;
    for (std::int32_t step = first; step <= last && step > 0; ++step) steps.emplace(step, slice(schedule.program_of(rank.rank), rank, step));
    raise_last_begins(steps, trace, matched, rank_index);
    use_last_arrivals(steps, rank, schedule.program_of(rank.rank));
    std::vector<StepTimes> result;
    for (auto& [number, step] : steps)
        if (!step.rows.empty()) result.push_back(std::move(step));
    return result;
}

}  // namespace

std::vector<StepTimes> timed_steps(const schedule::Schedule& schedule, const trace::Trace& trace,
                                   std::span<const trace::MatchedCollective> matched, std::size_t rank_index) {
    const trace::RankTrace& rank = trace.ranks.at(rank_index);
    const std::int32_t last = rank.times.empty() ? 0 : rank.times.back().step;
    // Of a simulation the last two: where ranks differ it goes on until these agree (sim::simulate_until_steady).
    const std::int32_t first = trace.simulated ? std::max(2, last - 1) : 2;
    return steps_between(schedule, trace, matched, rank_index, std::min(first, last), last);
}

std::optional<StepTimes> timed_step(const schedule::Schedule& schedule, const trace::Trace& trace,
                                    std::span<const trace::MatchedCollective> matched, std::size_t rank_index, std::int32_t step) {
    std::vector<StepTimes> one = steps_between(schedule, trace, matched, rank_index, step, step);
    if (one.empty()) return std::nullopt;
    return std::move(one.front());
}

}  // namespace zerosim::analysis
