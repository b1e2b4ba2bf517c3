#include "analysis/communication_report.hpp"

#include "analysis/median.hpp"

#include <algorithm>
#include <string>

namespace zerosim::analysis {
namespace {

constexpr std::string_view kScalarPrefix = "scalar-";

struct Row {
    CollectiveReport report;
    std::vector<std::size_t> ops;
};

std::string kind_name(const schedule::Collective& collective) {
    return std::string(collective.scalar ? kScalarPrefix : std::string_view{}) + std::string(name(collective.kind));
}

Row& row_of(std::vector<Row>& rows, const schedule::Schedule& schedule, const schedule::Collective& collective, schedule::Phase phase) {
    const schedule::Axis& axis = schedule.axis(collective.axis);
    CollectiveReport fresh;
    fresh.kind = kind_name(collective);
    fresh.axis = std::string(schedule.names[axis.name]);
    fresh.phase = std::string(name(phase));
    fresh.ranks = axis.size;
    for (Row& row : rows)
        if (row.report.kind == fresh.kind && row.report.axis == fresh.axis && row.report.phase == fresh.phase) return row;
    rows.push_back({fresh, {}});
    return rows.back();
}

/// Seconds of the row's collectives in one step, without waiting for late peers.
double seconds_in(const StepTimes& step, const Row& row) {
    std::int64_t total = 0;
    for (const std::size_t op : row.ops)
        if (const trace::OpTime* time = step.find(OpId{op}))
            total += std::max<std::int64_t>(0, time->end - std::max(time->begin, step.last_begin[op - step.first_op]));
    return static_cast<double>(total) * 1e-9;
}

/// What the compute stream waited for the row's collectives: while data moved, and for late peers.
std::pair<double, double> waits_in(const Breakdown& breakdown, const Row& row) {
    std::int64_t open = 0, late = 0;
    for (const Wait& wait : breakdown.waits)
        if (wait.cause.valid() && std::ranges::binary_search(row.ops, wait.cause.index())) (wait.late_peers ? late : open) += wait.length;
    return {static_cast<double>(open) * 1e-9, static_cast<double>(late) * 1e-9};
}

void add_rates(CollectiveReport& report) {
    if (report.seconds <= 0) return;
    report.algbw = static_cast<double>(report.message_bytes) / report.seconds;
    report.busbw = report.sent_bytes / report.seconds;   // algbw times the kind's factor: nccl-tests doc/PERFORMANCE.md
}

}  // namespace

bool is_scalar(const CollectiveReport& row) { return row.kind.starts_with(kScalarPrefix); }

std::vector<CollectiveReport> communication_report(const schedule::Schedule& schedule, std::int64_t rank,
                                                   std::span<const StepTimes> steps, std::span<const Breakdown> breakdowns) {
    const schedule::Program& program = schedule.program_of(rank);
    const auto [begin, end] = program.bounds(schedule::Segment::steady);
    std::vector<Row> rows;
    for (std::size_t i = begin; i < end; ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.kind != schedule::OpKind::collective) continue;
        const schedule::Collective& collective = program.collective_of(op);
        Row& row = row_of(rows, schedule, collective, op.tags.phase);
        const std::int64_t bytes = schedule::message_bytes(program, collective);
        row.report.count += 1;
        row.report.message_bytes += bytes;
        row.report.sent_bytes += static_cast<double>(bytes) * ring_factor(collective.kind, row.report.ranks);
        row.ops.push_back(i);
    }
    std::vector<CollectiveReport> result;
    for (Row& row : rows) {
        std::vector<double> samples, exposed, waiting;
        for (std::size_t i = 0; i < steps.size(); ++i) {
            if (steps[i].first_op != begin) continue;   // not the first step's other segment
            samples.push_back(seconds_in(steps[i], row));
            const auto [open, late] = waits_in(breakdowns[i], row);
            exposed.push_back(open);
            waiting.push_back(late);
        }
        row.report.seconds = median(std::move(samples));
        row.report.exposed = median(std::move(exposed));
        row.report.waiting = median(std::move(waiting));
        add_rates(row.report);
        result.push_back(row.report);
    }
    return result;
}

}  // namespace zerosim::analysis
