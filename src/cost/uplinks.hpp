// What the uplinks of leaf switches leave of a group's network bandwidth: rail or fat-tree wiring, oversubscription.
// Called by the cost of collectives.
// A stated model, not a measurement: no published sweep names an oversubscribed fabric.
#pragma once

#include "base/collective.hpp"
#include "cost/placement.hpp"

namespace zerosim::cost {

/// Part of the cards' bandwidth that is left, above 0 and up to 1; 1 where the group stays under its leaf switches. All groups of the
/// same axis are taken to communicate at once, as they do in training.
[[nodiscard]] double uplink_share(CollectiveKind kind, const Placement& place, const cluster::Cluster& cluster);

} // namespace zerosim::cost
