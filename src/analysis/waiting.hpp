// What the compute stream waited for in a gap before an op: a backward search over the step's dependences.
// Used by breakdown.cpp.
// Does not look behind the gap's begin: what had ended by then held nothing up.
#pragma once

#include "analysis/breakdown.hpp"
#include "analysis/intervals.hpp"
#include "analysis/step_times.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::analysis {

class WaitFinder {
public:
    explicit WaitFinder(const StepTimes& step);
    /// Splits the idle time of `gap`, which ends with the begin of `next`; an invalid id means the step's end, which waits for all.
    [[nodiscard]] IdleTime split(Interval gap, OpId next);

private:
    struct Causes {
        std::vector<Interval> collectives, complete, copies;   // running; running with all members there; on other streams
    };
    void collect_all(Interval gap, Causes& causes) const;
    void collect_before(Interval gap, OpId next, Causes& causes);
    void add(const trace::OpTime& time, Interval gap, Causes& causes) const;
    void push_predecessors(std::size_t op);
    void push(std::size_t op);

    const StepTimes& step_;
    std::vector<std::int32_t> before_on_stream_;   // by op - first_op: the op before it on its stream; -1 = none
    std::vector<std::int32_t> host_wait_before_;   // the last host_wait issued before it
    std::vector<std::uint32_t> visited_;           // round in which the op was pushed
    std::vector<std::size_t> stack_;
    std::uint32_t round_ = 0;
};

}  // namespace zerosim::analysis
