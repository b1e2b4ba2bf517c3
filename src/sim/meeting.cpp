#include "sim/meeting.hpp"

#include <algorithm>
#include <utility>

namespace zerosim::sim {

LinkClasses link_classes(const Lanes& lanes, const cluster::Cluster& cluster, std::int64_t ranks) {
    LinkClasses result;
    const std::vector<LinkShare> shares = link_shares(cluster, ranks);
    for (const Meetings& axis : lanes.axes) {
        std::vector<LinkShare> weakest(axis.members.size());
        for (std::size_t lane = 0; lane < axis.group_of.size(); ++lane) {
            LinkShare& share = weakest[axis.group_of[lane]];
            const LinkShare& own = shares[static_cast<std::size_t>(lanes.ranks[lane])];
            share = {std::min(share.nvlink, own.nvlink), std::min(share.network, own.network)};
        }
        std::vector<std::uint32_t>& of_group = result.of_group.emplace_back();
        for (const LinkShare& share : weakest) {
            if (share == LinkShare{}) {
                of_group.push_back(0);
                continue;
            }
            const auto known = std::ranges::find(result.classes, share);
            of_group.push_back(1 + static_cast<std::uint32_t>(known - result.classes.begin()));
            if (known == result.classes.end()) result.classes.push_back(share);
        }
    }
    return result;
}

MeetingPoint::MeetingPoint(const Lanes& lanes, LinkClasses classes, bool keep_statistics) : lanes_(lanes), classes_(std::move(classes)) {
    std::size_t groups = 0;
    for (const Meetings& axis : lanes.axes) groups = std::max(groups, axis.members.size());
    groups_.resize(groups);
    if (!keep_statistics) return;
    for (const std::int64_t rank : lanes.ranks) statistics_.push_back({.rank = rank});
}

void MeetingPoint::complete(AxisId id, std::span<RoleClock* const> roles) {
    const Meetings& axis = lanes_.axes[id.index()];
    for (const RoleClock* role : roles)
        for (std::uint32_t lane = 0; lane < role->lanes(); ++lane) groups_[axis.group_of[role->first_lane + lane]] = {INT64_MIN, 0, INT64_MIN, 0, 0};
    for (const RoleClock* role : roles) arrive(axis, id.value, *role);
    for (RoleClock* role : roles) find_end(axis, *role);
    if (!statistics_.empty()) blame(axis, roles);
    for (RoleClock* role : roles) leave(axis, id, *role);
}

void MeetingPoint::arrive(const Meetings& axis, std::uint32_t axis_index, const RoleClock& role) {
    const Timing& timing = *role.timing;
    for (std::uint32_t lane = 0; lane < role.lanes(); ++lane) {
        const std::uint32_t number = axis.group_of[role.first_lane + lane];
        Group& group = groups_[number];
        if (role.ready[lane] > group.begin) {
            group.begin = role.ready[lane];
            group.last = role.first_lane + lane;
        }
        const std::uint32_t links = classes_.of_group.empty() ? 0 : classes_.of_group[axis_index][number];
        const std::int64_t alone = links == 0 ? timing.durations.device[role.position] : timing.device_by_links[links - 1][role.position];
        group.alone = std::max(group.alone, alone);
    }
}

/// Each member's share of the bytes proceeds at the pace of its own links; the collective has ended when the last share has.
void MeetingPoint::find_end(const Meetings& axis, RoleClock& role) {
    for (std::uint32_t lane = 0; lane < role.lanes(); ++lane) {
        Group& group = groups_[axis.group_of[role.first_lane + lane]];
        std::int64_t end = group.begin + group.alone;
        if (!role.links.empty()) {
            const LinkDemand demand = role.timing->demand[role.position];
            end = role.links[lane].end_of(group.begin, group.alone, demand);
            role.links[lane].add(group.begin, end, demand);
        }
        group.end = std::max(group.end, end);
    }
}

void MeetingPoint::blame(const Meetings& axis, std::span<RoleClock* const> roles) {
    for (const RoleClock* role : roles)
        for (std::uint32_t lane = 0; lane < role->lanes(); ++lane) {
            Group& group = groups_[axis.group_of[role->first_lane + lane]];
            const std::int64_t waited = group.begin - role->ready[lane];
            statistics_[role->first_lane + lane].waited += waited;
            group.waited += waited;
        }
    for (const RoleClock* role : roles)
        for (std::uint32_t lane = 0; lane < role->lanes(); ++lane) {
            const std::uint32_t number = axis.group_of[role->first_lane + lane];
            const Group& group = groups_[number];
            if (group.last != role->first_lane + lane || axis.members[number] < 2) continue;
            trace::RankStatistics& last = statistics_[group.last];
            last.caused += group.waited / (axis.members[number] - 1);
            ++last.last;
        }
}

void MeetingPoint::leave(const Meetings& axis, AxisId id, RoleClock& role) {
    const std::uint32_t launched = role.timing->durations.launched[role.position];
    Times& stream = role.streams[role.op().stream.index()];
    for (std::uint32_t lane = 0; lane < role.lanes(); ++lane) {
        const Group& group = groups_[axis.group_of[role.first_lane + lane]];
        stream[lane] = group.end;
        if (!role.beside.empty()) role.beside[lane].add(group.begin, group.end);
        if (!role.communicators.empty()) role.communicators[id.index()][lane] = group.end;
    }
    for (std::uint32_t i = 0; i < launched; ++i)
        if (const std::int32_t column = role.timing->ends.column[role.position + i]; column != Ends::kNone) role.ends[static_cast<std::size_t>(column)] = stream;
    trace(axis, role);
    role.position += launched;
    role.waiting = false;
}

void MeetingPoint::trace(const Meetings& axis, RoleClock& role) const {
    const std::uint32_t launched = role.timing->durations.launched[role.position];
    for (TracedLane& traced : role.traced) {
        const Group& group = groups_[axis.group_of[role.first_lane + traced.lane]];
        auto& times = traced.trace.times;
        for (std::size_t row = times.size() - launched; row < times.size(); ++row) {
            times[row].begin = role.ready[traced.lane];
            times[row].end = group.end;
        }
        if (!statistics_.empty()) traced.trace.last_arrivals.insert(traced.trace.last_arrivals.end(), launched, group.begin);
    }
}

} // namespace zerosim::sim
