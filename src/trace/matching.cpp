#include "trace/matching.hpp"

#include <algorithm>
#include <map>
#include <tuple>

namespace zerosim::trace {
namespace {

/// The lowest rank of the group of `axis` that `rank` is in.
std::int64_t group_of(const schedule::Axis& axis, std::int64_t rank) { return rank - axis.coordinate(rank) * axis.stride; }

}  // namespace

std::vector<MatchedCollective> match_collectives(const schedule::Schedule& schedule, const Trace& trace) {
    using Key = std::tuple<std::int32_t, std::uint32_t, std::int64_t, std::uint32_t>;   // step, axis, group, k
    // A simulated rank may stand for all of its role: then the representatives are members of one another's groups.
    const bool representatives = trace.simulated && trace.statistics.empty() && static_cast<std::int64_t>(trace.ranks.size()) < schedule.ranks;
    std::map<Key, std::size_t> positions;
    std::vector<MatchedCollective> matched;
    for (std::size_t index = 0; index < trace.ranks.size(); ++index) {
        const RankTrace& rank = trace.ranks[index];
        const schedule::Program& program = schedule.program_of(rank.rank);
        std::map<std::pair<std::int32_t, std::uint32_t>, std::uint32_t> seen;   // (step, axis) -> collectives so far
        for (std::size_t row = 0; row < rank.times.size(); ++row) {
            const OpTime& time = rank.times[row];
            const schedule::Op& op = program.ops.at(time.op);
            if (op.kind != schedule::OpKind::collective) continue;
            const AxisId axis = program.collective_of(op).axis;
            const std::uint32_t k = seen[{time.step, axis.value}]++;
            const std::int64_t group = representatives ? 0 : group_of(schedule.axis(axis), rank.rank);
            const auto [at, fresh] = positions.try_emplace(Key{time.step, axis.value, group, k}, matched.size());
            if (fresh) matched.push_back({time.step, axis, {}});
            matched[at->second].members.push_back({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(row)});
        }
    }
    std::ranges::stable_sort(matched, {}, &MatchedCollective::step);
    return matched;
}

}  // namespace zerosim::trace
