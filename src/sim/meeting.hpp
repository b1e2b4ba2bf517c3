// Where ranks meet: a collective begins when the last member of its group has come, and ends for all members at once.
// Used by the pass of sim::simulate.
// Does not issue anything; the caller says which roles have come.
#pragma once

#include "cluster/cluster.hpp"
#include "sim/lanes.hpp"
#include "sim/rank_variation.hpp"
#include "sim/role_clock.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace zerosim::sim {

/// By axis and group: index of the class of links that its weakest members have; 0 = the cluster's own.
struct LinkClasses {
    std::vector<LinkShare> classes; // after the cluster's own
    std::vector<std::vector<std::uint32_t>> of_group;
};
[[nodiscard]] LinkClasses link_classes(const Lanes& lanes, const cluster::Cluster& cluster, std::int64_t ranks);

class MeetingPoint {
public:
    MeetingPoint(const Lanes& lanes, LinkClasses classes, bool keep_statistics);
    /// Completes the launch at the position of each of `roles`, which have all issued it on `axis`.
    void complete(AxisId axis, std::span<RoleClock* const> roles);
    [[nodiscard]] std::vector<trace::RankStatistics>& statistics() { return statistics_; }

private:
    struct Group {
        std::int64_t begin = 0, alone = 0, end = 0, waited = 0;
        std::uint32_t last = 0; // lane
    };
    void arrive(const Meetings& axis, std::uint32_t axis_index, const RoleClock& role);
    void find_end(const Meetings& axis, RoleClock& role);
    void leave(const Meetings& axis, AxisId id, RoleClock& role);
    void trace(const Meetings& axis, RoleClock& role) const;
    void blame(const Meetings& axis, std::span<RoleClock* const> roles);

    const Lanes& lanes_;
    LinkClasses classes_;
    std::vector<Group> groups_;                       // of the axis in hand
    std::vector<trace::RankStatistics> statistics_;   // by lane; empty unless kept
};

} // namespace zerosim::sim
