// How much of a device's links the collectives placed so far take, and when: those of different communicators share them.
// Called by sim::simulate.
// Links serve collectives in order of issue: one issued later gets what is left (docs/design.md). Nothing issued before is moved.
#pragma once

#include <boost/container/small_vector.hpp>

#include <cstdint>

namespace zerosim::sim {

/// Share of a link's bandwidth that a collective takes while it runs alone: within the node, and of the network.
struct LinkDemand {
    double nvlink = 0, network = 0;
};

class LinkLoad {
public:
    /// When a collective ends that begins at `begin` and takes `alone` on idle links. Exact when it is the last placed.
    [[nodiscard]] std::int64_t end_of(std::int64_t begin, std::int64_t alone, LinkDemand demand) const;
    /// Places it.
    void add(std::int64_t begin, std::int64_t end, LinkDemand demand);

private:
    struct Stretch {
        std::int64_t begin, end;
        LinkDemand taken;
    };
    [[nodiscard]] static double pace(const Stretch& stretch, LinkDemand demand);
    boost::container::small_vector<Stretch, 20> stretches_; // disjoint, ascending; inline, for there is one a rank
};

} // namespace zerosim::sim
