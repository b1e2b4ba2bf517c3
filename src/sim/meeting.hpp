// Where ranks meet: a collective begins when the last member of its group has come, and ends for all members at once.
// Used by the pass of sim::simulate.
// Does not issue anything; the caller says which roles have come.
#pragma once

#include "cluster/cluster.hpp"
#include "sim/lanes.hpp"
#include "sim/rank_variation.hpp"
#include "sim/role_clock.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace zerosim::sim {

/// By axis and group: index of the class of links that its weakest members have; 0 = the cluster's own.
struct LinkClasses {
    std::vector<LinkShare> classes; // after the cluster's own
    std::vector<std::vector<std::uint32_t>> of_group;
};
[[nodiscard]] LinkClasses link_classes(const Lanes& lanes, const cluster::Cluster& cluster, std::int64_t ranks);

/// Of every lane, over one step.
struct LaneStatistics {
    Times busy, waited, caused, last; // as in trace::RankStatistics
    [[nodiscard]] std::vector<trace::RankStatistics> by_rank(const Lanes& lanes) const;
};

class MeetingPoint {
public:
    /// Statistics are kept of `step`; nullopt = of none.
    MeetingPoint(const Lanes& lanes, LinkClasses classes, std::optional<int> step);
    /// Completes the launch at the position of each of `roles`, which have all issued it on `axis`.
    void complete(AxisId axis, std::span<RoleClock* const> roles);
    void keep_statistics_of(int step);
    /// Of the step in hand, or null.
    [[nodiscard]] LaneStatistics* statistics_of(int step) { return step_of_statistics_ == step ? &statistics_ : nullptr; }

private:
    struct Group {
        std::int64_t begin = 0, alone = 0, end = 0, waited = 0;
        std::uint32_t last = 0; // lane
    };
    void reset(const Meetings& axis, const RoleClock& role);
    void arrive(const Meetings& axis, std::uint32_t axis_index, const RoleClock& role);
    void come(Group& group, std::uint32_t number, std::uint32_t axis_index, const RoleClock& role, Latest last) const;
    void find_end(const Meetings& axis, RoleClock& role);
    void wait(const Meetings& axis, const RoleClock& role);
    void leave(const Meetings& axis, AxisId id, RoleClock& role);
    void trace(const Meetings& axis, RoleClock& role) const;
    void blame(const Meetings& axis, std::span<RoleClock* const> roles);

    const Lanes& lanes_;
    LinkClasses classes_;
    std::vector<Group> groups_; // of the axis in hand
    std::optional<int> step_of_statistics_;
    LaneStatistics statistics_;
};

} // namespace zerosim::sim
