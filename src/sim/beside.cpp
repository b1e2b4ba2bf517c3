#include "sim/beside.hpp"

#include <algorithm>
#include <cmath>

namespace zerosim::sim {
namespace {
/// Kernels are issued soon after the collectives that they run beside: older intervals cannot matter to them.
constexpr std::size_t kRemembered = 16;
} // namespace

void Beside::add(std::int64_t begin, std::int64_t end) {
    if (begin >= end) return;
    // Merge with what it overlaps: two collectives at once slow a kernel no more than one (they share the same channels).
    for (auto it = intervals_.begin(); it != intervals_.end();) {
        if (it->end < begin || it->begin > end) {
            ++it;
            continue;
        }
        begin = std::min(begin, it->begin);
        end = std::max(end, it->end);
        it = intervals_.erase(it);
    }
    const auto place = std::find_if(intervals_.begin(), intervals_.end(), [&](const Interval& i) { return i.begin > end; });
    intervals_.insert(place, {begin, end});
    if (intervals_.size() > kRemembered) intervals_.pop_front();
}

std::int64_t Beside::stretched(std::int64_t begin, std::int64_t alone, double slowdown) const {
    double left = static_cast<double>(alone); // work, in time alone
    std::int64_t now = begin;
    for (const Interval& interval : intervals_) {
        if (interval.end <= now) continue;
        const double before = static_cast<double>(std::max<std::int64_t>(0, interval.begin - now));
        if (left <= before) break;
        left -= before;
        now = std::max(now, interval.begin);
        const double shared = static_cast<double>(interval.end - now);
        if (left * (1 + slowdown) <= shared) return now - begin + std::llround(left * (1 + slowdown));
        left -= shared / (1 + slowdown);
        now = interval.end;
    }
    return now - begin + std::llround(left);
}

} // namespace zerosim::sim
