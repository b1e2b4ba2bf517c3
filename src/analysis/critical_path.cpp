#include "analysis/critical_path.hpp"

#include "analysis/breakdown.hpp"
#include "analysis/stream_order.hpp"
#include "base/error.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace zerosim::analysis {
namespace {

using schedule::Op;
using schedule::OpKind;

/// One rank's step with its stream order, made when the path first comes there.
struct RankStep {
    const StepTimes* step = nullptr;
    std::vector<std::int32_t> before;
    std::vector<std::uint32_t> visited;   // round of the search for predecessors
    std::uint32_t round = 0;
};

class PathWalk {
public:
    PathWalk(const StepOfRank& steps, std::size_t rank_index) : steps_(steps), rank_(rank_index), begin_(steps(rank_index)->start) {}
    std::vector<PathStretch> run();

private:
    RankStep& here();
    void cover_op();
    [[nodiscard]] bool shows_begin(const StepTimes::Member& late, std::int64_t complete) const;
    void cross_to(const StepTimes::Member& late);
    void go_before(PathStretch* stretch);
    void go_back_on_host(std::size_t row);
    [[nodiscard]] std::optional<OpId> latest_predecessor(OpId op);
    [[nodiscard]] std::optional<OpId> latest_dep(OpId op);
    [[nodiscard]] bool ran_on_host_thread(const trace::OpTime& row, const trace::OpTime& next);
    void add(PathStretch::Kind kind, OpId op, std::int64_t begin);
    [[nodiscard]] const trace::OpTime& row_of(OpId op) { return *here().step->find(op); }

    const StepOfRank& steps_;
    std::size_t rank_;
    std::size_t limit_ = 16;           // of moves: each goes back in program order of some rank, or across ranks at one collective
    std::int64_t begin_;               // of the whole path
    OpId op_;                          // the op that ended at time_; invalid: the path has come to its begin
    std::int64_t time_ = 0;
    std::map<std::size_t, RankStep> ranks_;
    std::vector<PathStretch> path_;
};

RankStep& PathWalk::here() {
    RankStep& rank = ranks_[rank_];
    if (rank.step == nullptr) {
        rank.step = steps_(rank_);
        limit_ += 4 * rank.step->rows.size();
        rank.before = before_on_stream(*rank.step);
        rank.visited.assign(rank.before.size(), 0);
    }
    return rank;
}

/// From `begin` to where the path is, and goes there.
void PathWalk::add(PathStretch::Kind kind, OpId op, std::int64_t begin) {
    begin = std::clamp(begin, begin_, time_);
    if (begin < time_) path_.push_back({kind, static_cast<std::uint32_t>(rank_), op, begin, time_, false, -1, {}});
    time_ = begin;
}

std::vector<PathStretch> PathWalk::run() {
    const StepTimes& first = *here().step;
    const auto last = std::ranges::max_element(first.rows, {}, [](const trace::OpTime& row) { return row.end; });   // the first such
    op_ = OpId{last->op};
    time_ = last->end;
    while (op_.valid() && time_ > begin_) {
        check(limit_-- > 0, "the critical path goes in a circle");
        cover_op();
    }
    if (time_ > begin_) add(PathStretch::Kind::host, OpId{}, begin_);
    return std::move(path_);
}

void PathWalk::cover_op() {
    const StepTimes& step = *here().step;
    const trace::OpTime& row = row_of(op_);
    const Op& op = step.program->op(op_);
    if (op.kind == OpKind::host_wait) return go_back_on_host(static_cast<std::size_t>(step.row_of_op[op_.index() - step.first_op]) + 1);
    if (bookkeeping(op.kind)) return go_before(nullptr);
    const std::size_t before = path_.size();
    if (op.kind != OpKind::collective) {
        add(PathStretch::Kind::op, op_, row.begin);
        return go_before(path_.size() > before ? &path_.back() : nullptr);
    }
    const std::size_t i = op_.index() - step.first_op;
    const StepTimes::Member late = step.last_member[i];
    add(PathStretch::Kind::op, op_, std::max(row.begin, step.last_begin[i]));
    PathStretch* stretch = path_.size() > before ? &path_.back() : nullptr;
    if (step.last_begin[i] <= row.begin) return go_before(stretch);
    if (!shows_begin(late, step.last_begin[i])) {
        const std::size_t moved = path_.size();
        add(PathStretch::Kind::op, op_, row.begin);
        if (path_.size() > moved) path_.back().lacks_member = true;
        return go_before(stretch);
    }
    if (stretch != nullptr) stretch->late_rank_index = late.rank_index;
    cross_to(late);
}

/// Whether the trace holds the late member's row, which began when the collective was complete.
bool PathWalk::shows_begin(const StepTimes::Member& late, std::int64_t complete) const {
    if (late.rank_index < 0 || static_cast<std::size_t>(late.rank_index) == rank_) return false;
    const StepTimes* step = steps_(static_cast<std::size_t>(late.rank_index));
    const trace::OpTime* row = step == nullptr ? nullptr : step->find(OpId{late.op});
    return row != nullptr && row->begin >= complete;
}

/// The peer that came last goes on from its own begin of the collective.
void PathWalk::cross_to(const StepTimes::Member& late) {
    rank_ = static_cast<std::size_t>(late.rank_index);
    op_ = OpId{late.op};
    go_before(nullptr);
}

/// From the begin of op_ to what it had waited for.
void PathWalk::go_before(PathStretch* stretch) {
    const StepTimes& step = *here().step;
    const std::size_t row = static_cast<std::size_t>(step.row_of_op[op_.index() - step.first_op]);
    const trace::OpTime& time = step.rows[row];
    // When the host had issued it: where it went on to the next op before this one began, else when it turned to this one.
    std::int64_t issued = time.issue;
    if (row + 1 < step.rows.size() && step.rows[row + 1].issue <= time.begin) issued = std::max(issued, step.rows[row + 1].issue);
    const std::optional<OpId> before = latest_predecessor(op_);
    if (before && row_of(*before).end >= issued) {
        if (stretch != nullptr) stretch->waited_for = *before;
        add(PathStretch::Kind::host, op_, row_of(*before).end);
        op_ = *before;
        return;
    }
    if (stretch != nullptr) stretch->waited_for_host = true;
    add(PathStretch::Kind::host, op_, time.issue);
    go_back_on_host(row);
}

/// Host time before the issue of rows[row]: back to what the host itself had waited for.
void PathWalk::go_back_on_host(std::size_t row) {
    const StepTimes& step = *here().step;
    while (row-- > 0) {
        const trace::OpTime& time = step.rows[row];
        const OpId op{time.op};
        if (step.program->op(op).kind == OpKind::host_wait) {
            const std::optional<OpId> dep = latest_dep(op);
            if (dep && row_of(*dep).end > time.issue) {
                add(PathStretch::Kind::host, op, row_of(*dep).end);
                op_ = *dep;
                return;
            }
        } else if (row + 1 < step.rows.size() && ran_on_host_thread(time, step.rows[row + 1])) {
            add(PathStretch::Kind::host, op, time.end);
            op_ = op;
            return;
        }
        add(PathStretch::Kind::host, op, time.issue);
    }
    op_ = OpId{};
}

/// A kernel that held up the issue of the next op: the executor's compute stream is the issuing thread (docs/design.md).
bool PathWalk::ran_on_host_thread(const trace::OpTime& row, const trace::OpTime& next) {
    const schedule::Program& program = *here().step->program;
    const Op& op = program.ops[row.op];
    return work_class(program, op) < kWorkClasses && program.streams[op.stream.index()].kind == schedule::StreamKind::compute &&
           row.begin < next.issue && row.end <= next.issue && row.end > row.begin;
}

std::optional<OpId> PathWalk::latest_dep(OpId op) {
    const StepTimes& step = *here().step;
    std::optional<OpId> latest;
    for (const OpId dep : step.program->deps_of(step.program->op(op)))
        if (step.find(dep) != nullptr && (!latest || step.find(dep)->end > step.find(*latest)->end)) latest = dep;
    return latest;
}

/// The last to end of the ops that `op` waits for by stream order and deps; bookkeeping passes on what it waits for. What a
/// host_wait waits for is the host's business.
std::optional<OpId> PathWalk::latest_predecessor(OpId op) {
    RankStep& rank = here();
    const StepTimes& step = *rank.step;
    std::vector<std::size_t> stack;
    std::optional<OpId> latest;
    ++rank.round;
    const auto push = [&](std::size_t index) {
        if (index < step.first_op || index >= step.last_op || rank.visited[index - step.first_op] == rank.round) return;
        rank.visited[index - step.first_op] = rank.round;
        stack.push_back(index);
    };
    const auto expand = [&](std::size_t index) {
        if (step.program->ops[index].kind != OpKind::host_wait)
            for (const OpId dep : step.program->deps_of(step.program->ops[index])) push(dep.index());
        if (const std::int32_t before = rank.before[index - step.first_op]; before >= 0) push(step.first_op + static_cast<std::size_t>(before));
    };
    expand(op.index());
    while (!stack.empty()) {
        const OpId at{stack.back()};
        stack.pop_back();
        const trace::OpTime* time = step.find(at);
        if (bookkeeping(step.program->op(at).kind)) expand(at.index());
        else if (time != nullptr && (!latest || time->end > step.find(*latest)->end || (time->end == step.find(*latest)->end && at < *latest))) latest = at;
    }
    return latest;
}

}  // namespace

StepOfRank steps_of_ranks(const schedule::Schedule& schedule, const trace::Trace& trace, std::span<const trace::MatchedCollective> matched,
                          std::int32_t step) {
    return [&schedule, &trace, matched, step, made = std::map<std::size_t, std::optional<StepTimes>>{}](std::size_t index) mutable -> const StepTimes* {
        const auto [known, fresh] = made.try_emplace(index);
        if (fresh) known->second = timed_step(schedule, trace, matched, index, step);
        return known->second ? &*known->second : nullptr;
    };
}

std::vector<PathStretch> critical_path(const StepOfRank& steps, std::size_t rank_index) {
    const StepTimes* step = steps(rank_index);
    check(step != nullptr && !step->rows.empty(), "a critical path needs a step");
    return PathWalk(steps, rank_index).run();
}

}  // namespace zerosim::analysis
