#include "sim/lanes.hpp"

#include "sim/peers.hpp"

#include <algorithm>

namespace zerosim::sim {
namespace {

/// Group of rank r: same block r / (size * stride), same r % stride.
std::uint32_t group_of(const schedule::Axis& axis, std::int64_t rank) {
    return static_cast<std::uint32_t>(rank / (axis.size * axis.stride) * axis.stride + rank % axis.stride);
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
    }
    return result;
}

} // namespace zerosim::sim
