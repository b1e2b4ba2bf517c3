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
    /// Splits the idle time of `gap`, which ends with the begin of `next`, and appends the pieces to `waits`; an invalid id means
    /// the step's end, which waits for all. Where causes overlap: a collective with all members there, before one that lacks some,
    /// before other streams; among equals the one issued first.
    void split(Interval gap, OpId next, std::vector<Wait>& waits);

private:
    enum class Rank : std::uint8_t { moving, late, other };
    struct Cause {
        Rank rank{};
        OpId op;
        Interval time;
    };
    void collect_all(Interval gap);
    void collect_before(Interval gap, OpId next);
    void add(const trace::OpTime& time, Interval gap);
    void push_predecessors(std::size_t op);
    void push(std::size_t op);

    const StepTimes& step_;
    std::vector<std::int32_t> before_on_stream_;   // by op - first_op: the op before it on its stream; -1 = none
    std::vector<std::int32_t> host_wait_before_;   // the last host_wait issued before it
    std::vector<std::uint32_t> visited_;           // round in which the op was pushed
    std::vector<std::size_t> stack_;
    std::vector<Cause> causes_;
    std::uint32_t round_ = 0;
};

}  // namespace zerosim::analysis
