#include "sim/beside.hpp"

#include "sim/lane_times.hpp"

#include <algorithm>
#include <iterator>

namespace zerosim::sim {
namespace {
/// Kernels are issued soon after the collectives that they run beside: older intervals cannot matter to them.
constexpr std::size_t kRemembered = 16;
} // namespace

void Beside::add(std::int64_t begin, std::int64_t end) {
    if (begin >= end) return;
    // Merge with what it overlaps: two collectives at once slow a kernel no more than one (they share the same channels).
    auto first = intervals_.end();
    while (first != intervals_.begin() && std::prev(first)->end >= begin) --first;
    auto last = first;
    for (; last != intervals_.end() && last->begin <= end; ++last) {
        begin = std::min(begin, last->begin);
        end = std::max(end, last->end);
    }
    if (first == last) {
        intervals_.insert(first, {begin, end});
    } else {
        *first = {begin, end};
        intervals_.erase(first + 1, last);
    }
    if (intervals_.size() > kRemembered) intervals_.erase(intervals_.begin());
}

std::int64_t Beside::stretched_beside(std::int64_t begin, std::int64_t alone, double slowdown) const {
    auto next = intervals_.end();
    while (next != intervals_.begin() && std::prev(next)->end > begin) --next;
    double left = static_cast<double>(alone); // work, in time alone
    std::int64_t now = begin;
    for (; next != intervals_.end(); ++next) {
        const double before = static_cast<double>(std::max<std::int64_t>(0, next->begin - now));
        if (left <= before) break;
        left -= before;
        now = std::max(now, next->begin);
        const double shared = static_cast<double>(next->end - now);
        if (left * (1 + slowdown) <= shared) return now - begin + rounded(left * (1 + slowdown));
        left -= shared / (1 + slowdown);
        now = next->end;
    }
    return now - begin + rounded(left);
}

} // namespace zerosim::sim
