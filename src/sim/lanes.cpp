#include "sim/lanes.hpp"

#include "sim/peers.hpp"

#include <algorithm>
#include <unordered_map>

namespace zerosim::sim {
namespace {

/// Group of rank r: same block r / (size * stride), same r % stride.
std::uint32_t group_of(const schedule::Axis& axis, std::int64_t rank) {
    return static_cast<std::uint32_t>(rank / (axis.size * axis.stride) * axis.stride + rank % axis.stride);
}

/// Axes on which somebody communicates.
std::vector<bool> used_axes(const schedule::Schedule& schedule) {
    std::vector<bool> used(schedule.axes.size(), false);
    for (const schedule::Program& program : schedule.programs)
        for (const schedule::Collective& collective : program.collectives) used[collective.axis.index()] = true;
    return used;
}

Kin kin_of(const Lanes& lanes, std::size_t role, const std::vector<bool>& used) {
    Kin kin{std::vector<std::uint32_t>(lanes.count(role), 0), {}};
    for (std::size_t a = 0; a < used.size(); ++a) {
        if (!used[a] || lanes.axes[a].only[role] != Meetings::kSeveral) continue;
        std::unordered_map<std::uint64_t, std::uint32_t> split; // (kin so far, group) -> kin
        for (std::uint32_t lane = 0; lane < kin.of_lane.size(); ++lane) {
            const std::uint64_t key = std::uint64_t{kin.of_lane[lane]} << 32 | lanes.axes[a].group_of[lanes.first[role] + lane];
            kin.of_lane[lane] = split.try_emplace(key, static_cast<std::uint32_t>(split.size())).first->second;
        }
    }
    for (std::uint32_t lane = 0; lane < kin.of_lane.size(); ++lane) // numbered in the order of their first lanes
        if (kin.of_lane[lane] == kin.first.size()) kin.first.push_back(lane);
    return kin;
}

std::vector<std::uint32_t> only_groups(const Lanes& lanes, const Meetings& axis) {
    std::vector<std::uint32_t> only;
    for (std::size_t role = 0; role + 1 < lanes.first.size(); ++role) {
        const auto begin = axis.group_of.begin() + lanes.first[role], end = axis.group_of.begin() + lanes.first[role + 1];
        only.push_back(std::all_of(begin, end, [&](std::uint32_t group) { return group == *begin; }) ? *begin : Meetings::kSeveral);
    }
    return only;
}

} // namespace

Lanes lanes(const schedule::Schedule& schedule, bool every_rank) {
    Lanes result;
    for (const schedule::RankRole& role : schedule.roles) {
        result.first.push_back(static_cast<std::uint32_t>(result.ranks.size()));
        for (std::int64_t i = 0; i < (every_rank ? role.count : 1); ++i) result.ranks.push_back(role.first_rank + i);
    }
    result.first.push_back(static_cast<std::uint32_t>(result.ranks.size()));
    const Peers sets = peers(schedule);
    const std::size_t roles = schedule.roles.size();
    for (std::size_t a = 0; a < schedule.axes.size(); ++a) {
        Meetings& axis = result.axes.emplace_back();
        const auto base = static_cast<std::uint32_t>(a * roles); // sets are numbered from axis to axis
        for (const std::uint32_t set : sets.set_of[a]) axis.role_set.push_back(set - base);
        axis.set_roles.assign(sets.sizes.begin() + base, sets.sizes.begin() + base + static_cast<std::ptrdiff_t>(roles));
        for (std::size_t role = 0; role < roles; ++role)
            for (std::uint32_t lane = result.first[role]; lane < result.first[role + 1]; ++lane)
                axis.group_of.push_back(every_rank ? group_of(schedule.axes[a], result.ranks[lane]) : axis.role_set[role]);
        std::uint32_t groups = 0;
        for (const std::uint32_t group : axis.group_of) groups = std::max(groups, group + 1);
        axis.members.assign(groups, 0);
        for (const std::uint32_t group : axis.group_of) ++axis.members[group];
        axis.only = only_groups(result, axis);
    }
    const std::vector<bool> used = used_axes(schedule);
    for (std::size_t role = 0; role < roles; ++role) result.kin.push_back(kin_of(result, role, used));
    return result;
}

} // namespace zerosim::sim
