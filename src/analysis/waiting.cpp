#include "analysis/waiting.hpp"

#include "analysis/stream_order.hpp"

#include <algorithm>
#include <tuple>

namespace zerosim::analysis {
WaitFinder::WaitFinder(const StepTimes& step)
    : step_(step), before_on_stream_(before_on_stream(step)), host_wait_before_(step.last_op - step.first_op, -1),
      visited_(step.last_op - step.first_op, 0) {
    std::int32_t last_host_wait = -1;
    for (std::size_t i = 0; i < host_wait_before_.size(); ++i) {
        host_wait_before_[i] = last_host_wait;
        if (step.program->ops[step.first_op + i].kind == schedule::OpKind::host_wait) last_host_wait = static_cast<std::int32_t>(i);
    }
}

void WaitFinder::add(const trace::OpTime& time, Interval gap) {
    const schedule::Op& op = step_.program->ops[time.op];
    if (op.kind == schedule::OpKind::collective) {
        const std::int64_t complete = std::max(time.begin, step_.last_begin[time.op - step_.first_op]);
        causes_.push_back({Rank::moving, OpId{time.op}, clip({complete, time.end}, gap)});
        causes_.push_back({Rank::late, OpId{time.op}, clip({time.begin, std::min(complete, time.end)}, gap)});
    } else if (!bookkeeping(op.kind)) {
        causes_.push_back({Rank::other, OpId{time.op}, clip({time.begin, time.end}, gap)});
    }
}

void WaitFinder::push(std::size_t op) {
    if (op < step_.first_op || op >= step_.last_op || visited_[op - step_.first_op] == round_) return;
    visited_[op - step_.first_op] = round_;
    stack_.push_back(op);
}

void WaitFinder::push_predecessors(std::size_t op) {
    const std::size_t i = op - step_.first_op;
    for (const OpId dep : step_.program->deps_of(step_.program->ops[op])) push(dep.index());
    if (before_on_stream_[i] >= 0) push(step_.first_op + static_cast<std::size_t>(before_on_stream_[i]));
    if (host_wait_before_[i] >= 0) push(step_.first_op + static_cast<std::size_t>(host_wait_before_[i]));
}

void WaitFinder::collect_before(Interval gap, OpId next) {
    ++round_;
    push_predecessors(next.index());
    while (!stack_.empty()) {
        const OpId op{stack_.back()};
        stack_.pop_back();
        const schedule::OpKind kind = step_.program->op(op).kind;
        const trace::OpTime* time = step_.find(op);
        if (!bookkeeping(kind)) {
            if (time == nullptr || time->end <= gap.begin) continue;
            add(*time, gap);
        } else if (kind == schedule::OpKind::host_wait && time != nullptr && time->end <= gap.begin) {
            continue; // so had all that it waited for, host waits before it included: a step has thousands
        }
        push_predecessors(op.index());
    }
}

void WaitFinder::collect_all(Interval gap) {
    for (const trace::OpTime& time : step_.rows)
        if (time.end > gap.begin) add(time, gap);
}

void WaitFinder::split(Interval gap, OpId next, std::vector<Wait>& waits) {
    causes_.clear();
    if (next.valid()) collect_before(gap, next);
    else collect_all(gap);
    std::ranges::sort(causes_, {}, [](const Cause& cause) { return std::tuple(cause.rank, cause.op.value, cause.time.begin); });
    Cover cover;
    std::int64_t rest = gap.end - gap.begin;
    for (const Cause& cause : causes_) {
        const std::int64_t length = cover.claim(cause.time);
        if (length == 0) continue;
        waits.push_back({cause.op, next, cause.rank == Rank::late, length});
        rest -= length;
    }
    if (rest > 0) waits.push_back({OpId{}, next, false, rest});
}

}  // namespace zerosim::analysis
