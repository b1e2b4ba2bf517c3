// Sets of time as sorted, disjoint half-open intervals in nanoseconds: union and total length.
// Used inside analysis/ to measure idle, exposed and overlapped time.
// Does not know ops.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace zerosim::analysis {

struct Interval {
    std::int64_t begin = 0, end = 0;
};

/// Total length of the union.
[[nodiscard]] inline std::int64_t union_length(std::vector<Interval> intervals) {
    std::ranges::sort(intervals, {}, &Interval::begin);
    std::int64_t total = 0, covered = INT64_MIN;
    for (const Interval& interval : intervals) {
        const std::int64_t begin = std::max(interval.begin, covered);
        if (interval.end > begin) total += interval.end - begin;
        covered = std::max(covered, interval.end);
    }
    return total;
}

/// The part of `interval` inside `window`; empty (end <= begin) when there is none.
[[nodiscard]] constexpr Interval clip(Interval interval, Interval window) {
    return {std::max(interval.begin, window.begin), std::min(interval.end, window.end)};
}

}  // namespace zerosim::analysis
