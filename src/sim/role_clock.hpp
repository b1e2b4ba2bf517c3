// The clocks of one role's lanes in flat arrays, and how far the role has come in its program.
// Used by the pass of sim::simulate alone.
// Plain state: what advances it is in simulate.cpp and meeting.cpp.
#pragma once

#include "schedule/schedule.hpp"
#include "sim/beside.hpp"
#include "sim/durations.hpp"
#include "sim/ends.hpp"
#include "sim/lane_times.hpp"
#include "sim/lanes.hpp"
#include "sim/link_load.hpp"
#include "trace/trace.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::sim {

/// What is known of a program before it runs.
struct Timing {
    const Durations* durations = nullptr; // the caller's
    Ends ends;
    std::vector<Times> device_by_links; // of collectives, by class of links after the nominal; by op
    std::vector<LinkDemand> demand;     // by op; empty where no two collectives can share links
};

/// A lane whose every op is kept.
struct TracedLane {
    std::uint32_t lane = 0; // of the role
    trace::RankTrace trace;
    std::int64_t begin = 0, end = 0; // of the op that is being executed
};

struct RoleClock {
    const schedule::Program* program = nullptr;
    const Timing* timing = nullptr;
    const Kin* kin = nullptr;
    std::uint32_t index = 0, first_lane = 0;
    int step = 0; // 0 = init
    std::size_t position = 0, segment_end = 0;
    std::int64_t live_bytes = 0;
    Times host;              // less `issued`
    std::int64_t issued = 0; // of the host's time, the same on all lanes
    std::vector<Times> streams;       // when each is free
    std::vector<Times> ends;          // by column of Ends
    std::vector<Times> communicators; // by axis, when each is free; empty = none is shared by streams
    std::vector<Beside> beside;       // by kin
    std::vector<LinkLoad> links;      // by kin; empty where links are never shared
    Times ready;                      // of the launch at `position`, once issued
    Times begin, lasts;               // of the kernel that is being executed
    std::vector<TracedLane> traced;
    bool waiting = false, finished = false; // waiting: for peers, with the launch at `position` issued

    [[nodiscard]] std::uint32_t lanes() const { return static_cast<std::uint32_t>(host.size()); }
    [[nodiscard]] std::int64_t host_at(std::uint32_t lane) const { return host[lane] + issued; }
    [[nodiscard]] const schedule::Op& op() const { return program->ops[position]; }
    /// Takes no time, waits for nothing, is waited for by nothing: its stream may as well not see it.
    [[nodiscard]] bool holds_nothing_up(std::size_t op) const {
        using enum schedule::OpKind;
        const schedule::OpKind kind = program->ops[op].kind;
        return (kind == alloc || kind == free || kind == mark) && timing->ends.needed_by(op).empty() && timing->ends.column[op] == Ends::kNone;
    }
};

} // namespace zerosim::sim
