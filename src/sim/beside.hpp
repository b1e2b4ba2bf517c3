// When collectives run on a rank's device, and how much longer a kernel takes beside them.
// Called by sim::simulate.
// Does not know later collectives: a kernel is placed in issue order, beside what was issued before it.
#pragma once

#include <cstdint>
#include <vector>

namespace zerosim::sim {

class Beside {
public:
    void add(std::int64_t begin, std::int64_t end);
    /// Duration of a kernel that takes `alone` by itself and runs 1 + slowdown times as long while any collective runs.
    [[nodiscard]] std::int64_t stretched(std::int64_t begin, std::int64_t alone, double slowdown) const;

private:
    struct Interval {
        std::int64_t begin, end;
    };
    std::vector<Interval> intervals_; // disjoint, ascending
};

} // namespace zerosim::sim
