// Sets of time as sorted, disjoint half-open intervals in nanoseconds: union, total length, who was first.
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

/// Time that has been given away: each instant is counted once, for whoever claims it first.
class Cover {
public:
    /// Length of the part of `interval` that nothing had claimed.
    std::int64_t claim(Interval interval) {
        if (interval.end <= interval.begin) return 0;
        auto at = std::ranges::lower_bound(taken_, interval.begin, {}, &Interval::end);   // the first that ends at or after the begin
        std::int64_t fresh = interval.end - interval.begin;
        const auto first = at;
        for (; at != taken_.end() && at->begin <= interval.end; ++at) {
            const std::int64_t begin = std::max(at->begin, interval.begin), end = std::min(at->end, interval.end);
            fresh -= std::max<std::int64_t>(0, end - begin);
        }
        Interval joined = interval;
        if (first != at) joined = {std::min(interval.begin, first->begin), std::max(interval.end, (at - 1)->end)};
        taken_.insert(taken_.erase(first, at), joined);
        return fresh;
    }

private:
    std::vector<Interval> taken_;   // disjoint, ascending
};

/// The part of `interval` inside `window`; empty (end <= begin) when there is none.
[[nodiscard]] constexpr Interval clip(Interval interval, Interval window) {
    return {std::max(interval.begin, window.begin), std::min(interval.end, window.end)};
}

}  // namespace zerosim::analysis
