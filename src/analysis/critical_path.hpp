// The critical path of a step: from its end backwards, each op to what it had waited for - an op before it on its stream, a dependence,
// the host's issue, a late peer - until the step's begin. One pass, on simulated and measured traces alike.
// Called by analyze(). Stretches follow each other without gap, so their lengths add up to the step.
// Does not say how much faster the step would get: another path may be nearly as long.
#pragma once

#include "analysis/step_report.hpp"
#include "analysis/step_times.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace zerosim::analysis {

/// A piece of the path, in time order from the step's end backwards.
struct PathStretch {
    enum class Kind : std::uint8_t { op, host };
    Kind kind = Kind::op;          // host: it was issuing `op`, or handing it over
    std::uint32_t rank_index = 0;  // into the trace's ranks
    OpId op;                       // invalid: before the step's first op
    std::int64_t begin = 0, end = 0;
    // What the op had waited for (Kind::op): the host, a member of the collective on another rank, or an op.
    bool waited_for_host = false;
    std::int32_t late_rank_index = -1;
    OpId waited_for;
    bool lacks_member = false;     // a collective that waited for a rank that the trace does not show
};

/// The same step of each rank of the trace, by index (null where a rank has none). Asked for where the path comes; the answers stay.
using StepOfRank = std::function<const StepTimes*(std::size_t)>;
/// That step of a trace, made when it is first asked for. Refers to all three.
[[nodiscard]] StepOfRank steps_of_ranks(const schedule::Schedule& schedule, const trace::Trace& trace,
                                        std::span<const trace::MatchedCollective> matched, std::int32_t step);

/// The path begins at the end of the step of `rank_index`.
[[nodiscard]] std::vector<PathStretch> critical_path(const StepOfRank& steps, std::size_t rank_index);

/// Folded by name and phase. `ranks`: rank numbers by index in the trace.
[[nodiscard]] CriticalPath path_report(const schedule::Schedule& schedule, std::span<const PathStretch> path, std::span<const std::int64_t> ranks);

}  // namespace zerosim::analysis
