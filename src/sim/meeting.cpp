#include "sim/meeting.hpp"

#include "cluster/nvlinks.hpp"

#include <algorithm>
#include <utility>

namespace zerosim::sim {

namespace {

/// The group of `axis` in which both ends of a failed link are loses that link.
void lose_pair(const cluster::FailedPair& pair, const Lanes& lanes, const Meetings& axis, const cluster::Cluster& cluster, std::vector<LinkShare>& weakest) {
    const auto lane_of = [&](std::int64_t rank) { return static_cast<std::size_t>(std::ranges::find(lanes.ranks, rank) - lanes.ranks.begin()); };
    const std::size_t first = lane_of(pair.first), second = lane_of(pair.second);
    if (std::max(first, second) >= axis.group_of.size() || axis.group_of[first] != axis.group_of[second]) return;
    const std::uint32_t group = axis.group_of[first];
    std::int64_t devices = 0; // of the group, on the pair's node
    for (std::size_t lane = 0; lane < axis.group_of.size(); ++lane)
        devices += axis.group_of[lane] == group && lanes.ranks[lane] / cluster.devices_per_node == pair.first / cluster.devices_per_node;
    weakest[group].nvlink *= cluster::share_without_pair(cluster, devices);
}

} // namespace

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
        for (const cluster::FailedPair& pair : cluster.variation.pairs) lose_pair(pair, lanes, axis, cluster, weakest);
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

std::vector<trace::RankStatistics> LaneStatistics::by_rank(const Lanes& lanes) const {
    std::vector<trace::RankStatistics> result;
    for (std::size_t lane = 0; lane < busy.size(); ++lane) result.push_back({lanes.ranks[lane], busy[lane], waited[lane], caused[lane], last[lane]});
    return result;
}

MeetingPoint::MeetingPoint(const Lanes& lanes, LinkClasses classes, std::optional<int> step)
    : lanes_(lanes), classes_(std::move(classes)), step_of_statistics_(step) {
    std::size_t groups = 0;
    for (const Meetings& axis : lanes.axes) groups = std::max(groups, axis.members.size());
    groups_.resize(groups);
    const Times none(step ? lanes.size() : 0, 0);
    statistics_ = {none, none, none, none};
}

void MeetingPoint::keep_statistics_of(int step) {
    step_of_statistics_ = step;
    for (Times* times : {&statistics_.busy, &statistics_.waited, &statistics_.caused, &statistics_.last}) std::ranges::fill(*times, 0);
}

void MeetingPoint::complete(AxisId id, std::span<RoleClock* const> roles) {
    const Meetings& axis = lanes_.axes[id.index()];
    for (const RoleClock* role : roles) reset(axis, *role);
    for (const RoleClock* role : roles) arrive(axis, id.value, *role);
    for (RoleClock* role : roles) find_end(axis, *role);
    if (step_of_statistics_ == roles.front()->step) blame(axis, roles);
    for (RoleClock* role : roles) leave(axis, id, *role);
}

void MeetingPoint::reset(const Meetings& axis, const RoleClock& role) {
    constexpr Group nobody{INT64_MIN, 0, INT64_MIN, 0, 0};
    if (const std::uint32_t only = axis.only[role.index]; only != Meetings::kSeveral)
        groups_[only] = nobody;
    else
        for (std::uint32_t lane = 0; lane < role.lanes(); ++lane) groups_[axis.group_of[role.first_lane + lane]] = nobody;
}

void MeetingPoint::come(Group& group, std::uint32_t number, std::uint32_t axis_index, const RoleClock& role, Latest last) const {
    if (last.time > group.begin) {
        group.begin = last.time;
        group.last = role.first_lane + last.lane;
    }
    const Timing& timing = *role.timing;
    const std::uint32_t links = classes_.of_group.empty() ? 0 : classes_.of_group[axis_index][number];
    group.alone = std::max(group.alone, links == 0 ? timing.durations->device[role.position] : timing.device_by_links[links - 1][role.position]);
}

void MeetingPoint::arrive(const Meetings& axis, std::uint32_t axis_index, const RoleClock& role) {
    if (const std::uint32_t only = axis.only[role.index]; only != Meetings::kSeveral) return come(groups_[only], only, axis_index, role, latest(role.ready));
    for (std::uint32_t lane = 0; lane < role.lanes(); ++lane) {
        const std::uint32_t number = axis.group_of[role.first_lane + lane];
        come(groups_[number], number, axis_index, role, {role.ready[lane], lane});
    }
}

/// Each member's share of the bytes proceeds at the pace of its own links; the collective has ended when the last share has.
void MeetingPoint::find_end(const Meetings& axis, RoleClock& role) {
    const std::vector<std::uint32_t>& kin = role.kin->first;
    for (std::size_t k = 0; k < kin.size(); ++k) {
        Group& group = groups_[axis.group_of[role.first_lane + kin[k]]];
        std::int64_t end = group.begin + group.alone;
        if (!role.links.empty()) {
            const LinkDemand demand = role.timing->demand[role.position];
            end = role.links[k].end_of(group.begin, group.alone, demand);
            role.links[k].add(group.begin, end, demand);
        }
        group.end = std::max(group.end, end);
    }
}

void MeetingPoint::wait(const Meetings& axis, const RoleClock& role) {
    if (const std::uint32_t only = axis.only[role.index]; only != Meetings::kSeveral) {
        groups_[only].waited += add_differences(statistics_.waited, role.first_lane, groups_[only].begin, role.ready);
        return;
    }
    for (std::uint32_t lane = 0; lane < role.lanes(); ++lane) {
        Group& group = groups_[axis.group_of[role.first_lane + lane]];
        const std::int64_t waited = group.begin - role.ready[lane];
        statistics_.waited[role.first_lane + lane] += waited;
        group.waited += waited;
    }
}

void MeetingPoint::blame(const Meetings& axis, std::span<RoleClock* const> roles) {
    for (const RoleClock* role : roles) wait(axis, *role);
    const auto charge = [&](std::uint32_t number) {
        const Group& group = groups_[number];
        if (axis.members[number] < 2) return;
        statistics_.caused[group.last] += group.waited / (axis.members[number] - 1);
        ++statistics_.last[group.last];
    };
    for (const RoleClock* role : roles) {
        const std::uint32_t only = axis.only[role->index], begin = role->first_lane, end = begin + role->lanes();
        if (only != Meetings::kSeveral) {
            if (groups_[only].last >= begin && groups_[only].last < end) charge(only);
            continue;
        }
        for (std::uint32_t lane = begin; lane < end; ++lane)
            if (groups_[axis.group_of[lane]].last == lane) charge(axis.group_of[lane]);
    }
}

void MeetingPoint::leave(const Meetings& axis, AxisId id, RoleClock& role) {
    const std::uint32_t launched = role.timing->durations->launched[role.position];
    Times& stream = role.streams[role.op().stream.index()];
    if (const std::uint32_t only = axis.only[role.index]; only != Meetings::kSeveral)
        std::ranges::fill(stream, groups_[only].end);
    else
        for (std::uint32_t lane = 0; lane < role.lanes(); ++lane) stream[lane] = groups_[axis.group_of[role.first_lane + lane]].end;
    if (!role.communicators.empty()) role.communicators[id.index()] = stream;
    for (std::size_t k = 0; k < role.beside.size(); ++k) {
        const Group& group = groups_[axis.group_of[role.first_lane + role.kin->first[k]]];
        role.beside[k].add(group.begin, group.end);
    }
    for (std::uint32_t i = 0; i < launched; ++i)
        if (const std::int32_t column = role.timing->ends.column[role.position + i]; column != Ends::kNone) role.ends[static_cast<std::size_t>(column)] = stream;
    trace(axis, role);
    role.position += launched;
    role.waiting = false;
}

void MeetingPoint::trace(const Meetings& axis, RoleClock& role) const {
    const std::uint32_t launched = role.timing->durations->launched[role.position];
    for (TracedLane& traced : role.traced) {
        const Group& group = groups_[axis.group_of[role.first_lane + traced.lane]];
        auto& times = traced.trace.times;
        for (std::size_t row = times.size() - launched; row < times.size(); ++row) {
            times[row].begin = role.ready[traced.lane];
            times[row].end = group.end;
        }
        if (step_of_statistics_) traced.trace.last_arrivals.insert(traced.trace.last_arrivals.end(), launched, group.begin);
    }
}

} // namespace zerosim::sim
