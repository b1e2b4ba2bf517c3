#include "sim/deadlock.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

#include <string>

namespace zerosim::sim {

void report_deadlock(const schedule::Schedule& schedule, std::span<const RoleClock> roles) {
    std::string what = "simulated ranks wait for each other in different collectives:";
    for (const RoleClock& role : roles) {
        const std::int64_t rank = schedule.roles[role.index].first_rank;
        if (role.finished)
            what += fmt::format(" rank {} has finished;", rank);
        else
            what += fmt::format(" rank {} in op {} '{}' of step {};", rank, role.position, schedule.names[role.op().name], role.step);
    }
    what.back() = '.';
    throw BugError(what);
}

} // namespace zerosim::sim
