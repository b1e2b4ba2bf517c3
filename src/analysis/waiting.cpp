#include "analysis/waiting.hpp"

namespace zerosim::analysis {
namespace {

/// Ops whose own time is the host's: they pass on what they depend on.
bool bookkeeping(schedule::OpKind kind) {
    using enum schedule::OpKind;
    return kind == alloc || kind == free || kind == host_wait || kind == mark;
}

}  // namespace

WaitFinder::WaitFinder(const StepTimes& step)
    : step_(step), before_on_stream_(step.last_op - step.first_op, -1), host_wait_before_(step.last_op - step.first_op, -1),
      visited_(step.last_op - step.first_op, 0) {
    std::vector<std::int32_t> last_on_stream(step.program->streams.size(), -1);
    std::int32_t last_host_wait = -1;
    for (std::size_t i = 0; i < before_on_stream_.size(); ++i) {
        const schedule::Op& op = step.program->ops[step.first_op + i];
        host_wait_before_[i] = last_host_wait;
        if (op.kind == schedule::OpKind::host_wait) last_host_wait = static_cast<std::int32_t>(i);
        if (!op.stream.valid()) continue;
        before_on_stream_[i] = last_on_stream[op.stream.index()];
        last_on_stream[op.stream.index()] = static_cast<std::int32_t>(i);
    }
}

void WaitFinder::add(const trace::OpTime& time, Interval gap, Causes& causes) const {
    const schedule::Op& op = step_.program->ops[time.op];
    if (op.kind == schedule::OpKind::collective) {
        causes.collectives.push_back(clip({time.begin, time.end}, gap));
        const std::int64_t complete = std::max(time.begin, step_.last_begin[time.op - step_.first_op]);
        causes.complete.push_back(clip({complete, time.end}, gap));
    } else if (!bookkeeping(op.kind)) {
        causes.copies.push_back(clip({time.begin, time.end}, gap));
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

void WaitFinder::collect_before(Interval gap, OpId next, Causes& causes) {
    ++round_;
    push_predecessors(next.index());
    while (!stack_.empty()) {
        const OpId op{stack_.back()};
        stack_.pop_back();
        if (!bookkeeping(step_.program->op(op).kind)) {
            const trace::OpTime* time = step_.find(op);
            if (time == nullptr || time->end <= gap.begin) continue;
            add(*time, gap, causes);
        }
        push_predecessors(op.index());
    }
}

void WaitFinder::collect_all(Interval gap, Causes& causes) const {
    for (const trace::OpTime& time : step_.rows)
        if (time.end > gap.begin) add(time, gap, causes);
}

IdleTime WaitFinder::split(Interval gap, OpId next) {
    Causes causes;
    if (next.valid()) collect_before(gap, next, causes);
    else collect_all(gap, causes);
    IdleTime idle;
    const std::int64_t communication = union_length(causes.collectives);
    idle.collectives = union_length(causes.complete);
    idle.late_peers = communication - idle.collectives;
    causes.copies.insert(causes.copies.end(), causes.collectives.begin(), causes.collectives.end());
    idle.other_streams = union_length(causes.copies) - communication;
    idle.host = gap.end - gap.begin - communication - idle.other_streams;
    return idle;
}

}  // namespace zerosim::analysis
