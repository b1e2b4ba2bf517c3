// Lanes: the clocks of a simulation. One for each role while its ranks are alike, one for each rank when they vary.
// Called by sim::simulate.
// Knows who meets in a collective; does not look at ops.
#pragma once

#include "schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::sim {

/// The groups of one axis, over lanes.
struct Meetings {
    std::vector<std::uint32_t> group_of; // by lane
    std::vector<std::uint32_t> members;  // by group: lanes
    std::vector<std::uint32_t> role_set; // by role: roles that wait for each other have the same
    std::vector<std::uint32_t> set_roles; // by set: roles
    std::vector<std::uint32_t> only;      // by role: the group that all its lanes are in; kSeveral
    static constexpr std::uint32_t kSeveral = ~0u;
};

/// Lanes of a role that are in the same group of every axis: they are in the same collectives at the same times.
struct Kin {
    std::vector<std::uint32_t> of_lane;   // by lane of the role
    std::vector<std::uint32_t> first;     // by kin: its first lane
};

struct Lanes {
    std::vector<std::uint32_t> first; // by role: its first lane; one past the last role: the number of lanes
    std::vector<std::int64_t> ranks;  // by lane: the rank it stands for
    std::vector<Meetings> axes;       // by axis
    std::vector<Kin> kin;             // by role
    [[nodiscard]] std::uint32_t count(std::size_t role) const { return first[role + 1] - first[role]; }
    [[nodiscard]] std::uint32_t size() const { return first.back(); }
};

[[nodiscard]] Lanes lanes(const schedule::Schedule& schedule, bool every_rank);

} // namespace zerosim::sim
