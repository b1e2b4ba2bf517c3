// Says who waits for whom when no simulated role can go on.
// Called by sim::simulate. The validator (schedule/validate.hpp) finds such schedules first: reaching this is a fault of this program.
// Finds nothing itself.
#pragma once

#include "sim/role_clock.hpp"

#include <span>

namespace zerosim::sim {

[[noreturn]] void report_deadlock(const schedule::Schedule& schedule, std::span<const RoleClock> roles);

} // namespace zerosim::sim
