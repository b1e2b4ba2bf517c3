// Puts the ranks' clocks on rank 0's, from collectives that nobody can leave before everybody has entered.
// Called once after a run's traces are gathered; a ping-pong estimate already in clock_offset is kept where it is possible.
// Does not correct drift within a run and does not change the times themselves.
#pragma once

#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

#include <cstdint>

namespace zerosim::trace {

/// The offsets of one rank against the first that contradict no collective: nobody ends before all have begun.
struct OffsetBounds {
    std::int64_t low = 0, high = 0;
    std::int64_t estimate = 0;      // median of the differences of the ends
    std::int64_t collectives = 0;   // 0 = nothing known
};
[[nodiscard]] OffsetBounds offset_bounds(const schedule::Schedule& schedule, const Trace& trace, std::size_t rank_index);

/// Sets clock_offset of every rank: kept where causality allows it, else the median of the differences of the ends of matched
/// collectives over all ranks, moved into the bounds. Simulated traces share one clock and stay as they are.
void align_clocks(const schedule::Schedule& schedule, Trace& trace);

}  // namespace zerosim::trace
