// Which rows of which ranks are one collective: the k-th on a group within a step, on every member (docs/schedule.md, matching).
// Used by clock alignment, by analysis/ (waiting for late peers) and by the Perfetto writer (flows).
// Does not check that the matched collectives agree: schedule/validate.hpp does.
#pragma once

#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

#include <vector>

namespace zerosim::trace {

struct MatchedCollective {
    struct Member {
        std::uint32_t rank_index = 0;   // into Trace::ranks
        std::uint32_t row = 0;          // into RankTrace::times
    };
    std::int32_t step = 0;
    AxisId axis;
    std::vector<Member> members;        // in the order of Trace::ranks; fewer than the group where a trace keeps chosen ranks
};

/// Ordered by step, then by first appearance.
[[nodiscard]] std::vector<MatchedCollective> match_collectives(const schedule::Schedule& schedule, const Trace& trace);

}  // namespace zerosim::trace
