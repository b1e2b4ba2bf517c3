#include "trace/clock.hpp"

#include "trace/matching.hpp"

#include <algorithm>
#include <limits>
#include <vector>

namespace zerosim::trace {
namespace {

/// Every member needs data of every other one, so no member ends before all have begun.
bool synchronising(const schedule::Schedule& schedule, const schedule::Collective& collective) {
    return collective.kind != CollectiveKind::broadcast && schedule.axis(collective.axis).size == schedule.ranks;
}

OffsetBounds bounds_of(const schedule::Schedule& schedule, const Trace& trace, const std::vector<MatchedCollective>& matched,
                       std::size_t rank_index) {
    OffsetBounds bounds{std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max(), 0, 0};
    std::vector<std::int64_t> differences;
    for (const MatchedCollective& collective : matched) {
        const OpTime *reference = nullptr, *own = nullptr;
        for (const auto& member : collective.members) {
            if (member.rank_index == 0) reference = &trace.ranks[0].times[member.row];
            if (member.rank_index == rank_index) own = &trace.ranks[rank_index].times[member.row];
        }
        if (reference == nullptr || own == nullptr) continue;
        const schedule::Program& program = schedule.program_of(trace.ranks[0].rank);
        if (!synchronising(schedule, program.collective_of(program.ops[reference->op]))) continue;
        const std::int64_t base = trace.ranks[0].clock_offset;
        bounds.low = std::max(bounds.low, reference->begin + base - own->end);
        bounds.high = std::min(bounds.high, reference->end + base - own->begin);
        differences.push_back(reference->end + base - own->end);
    }
    bounds.collectives = static_cast<std::int64_t>(differences.size());
    if (differences.empty()) return {};
    const auto middle = differences.begin() + static_cast<std::ptrdiff_t>(differences.size() / 2);
    std::nth_element(differences.begin(), middle, differences.end());
    bounds.estimate = *middle;
    return bounds;
}

}  // namespace

OffsetBounds offset_bounds(const schedule::Schedule& schedule, const Trace& trace, std::size_t rank_index) {
    return bounds_of(schedule, trace, match_collectives(schedule, trace), rank_index);
}

void align_clocks(const schedule::Schedule& schedule, Trace& trace) {
    if (trace.simulated || trace.ranks.size() < 2) return;
    const std::vector<MatchedCollective> matched = match_collectives(schedule, trace);
    for (std::size_t index = 1; index < trace.ranks.size(); ++index) {
        const OffsetBounds bounds = bounds_of(schedule, trace, matched, index);
        std::int64_t& offset = trace.ranks[index].clock_offset;
        if (bounds.collectives == 0 || (offset >= bounds.low && offset <= bounds.high)) continue;
        offset = bounds.low <= bounds.high ? std::clamp(bounds.estimate, bounds.low, bounds.high) : bounds.estimate;
    }
}

}  // namespace zerosim::trace
