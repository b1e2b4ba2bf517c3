// A second simulator for small schedules: events in time order, hosts and streams polled at each. The oracle of sim::simulate.
// Shares no code with it: peers by enumerating ranks, durations as given, no program-order pass. Collectives of a rank at the same time
// share its link, which each would fill alone: the one that was issued first moves.
#pragma once

#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

#include <cstdint>
#include <functional>

namespace zerosim::test {

/// Nanoseconds of an op on a rank; alloc, free, mark and host_wait are not asked for.
using Duration = std::function<std::int64_t(const schedule::Program&, const schedule::Op&, std::int64_t rank)>;

[[nodiscard]] trace::Trace simulate_by_events(const schedule::Schedule& schedule, int steps, const Duration& duration,
                                              std::int64_t host_issue);

} // namespace zerosim::test
