// Which roles meet in a collective: roles that share a group of an axis, directly or through others, wait for each other.
// Called by sim::simulate. One role alone (symmetric ranks) is its own and only peer.
// Does not look at ops; cost is O(axes * roles^2), independent of the number of ranks.
#pragma once

#include "schedule/schedule.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::sim {

/// Ranks of a role share one clock, so a role waits for every role that any of its ranks shares a group with, and what those wait
/// for.
struct Peers {
    std::vector<std::vector<std::uint32_t>> set_of; // [axis][role] -> set
    std::vector<std::uint32_t> sizes;               // roles in each set
};

[[nodiscard]] Peers peers(const schedule::Schedule& schedule);

} // namespace zerosim::sim
