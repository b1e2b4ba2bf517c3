// When collectives run on a rank's device, and how much longer a kernel takes beside them.
// Called by sim::simulate.
// Does not know later collectives: a kernel is placed in issue order, beside what was issued before it.
#pragma once

#include <boost/container/small_vector.hpp>

#include <cstdint>

namespace zerosim::sim {

class Beside {
public:
    void add(std::int64_t begin, std::int64_t end);
    /// Duration of a kernel that takes `alone` by itself and runs 1 + slowdown times as long while any collective runs.
    [[nodiscard]] std::int64_t stretched(std::int64_t begin, std::int64_t alone, double slowdown) const {
        return begin >= last_end() ? alone : stretched_beside(begin, alone, slowdown);
    }
    /// Nothing runs from then on.
    [[nodiscard]] std::int64_t last_end() const { return intervals_.empty() ? INT64_MIN : intervals_.back().end; }

private:
    [[nodiscard]] std::int64_t stretched_beside(std::int64_t begin, std::int64_t alone, double slowdown) const;
    struct Interval {
        std::int64_t begin, end;
    };
    boost::container::small_vector<Interval, 17> intervals_; // disjoint, ascending; inline, for there is one a rank
};

} // namespace zerosim::sim
