#include "sim/steady.hpp"

#include <algorithm>
#include <cmath>

namespace zerosim::sim {
namespace {

/// From the issue of a step's first op to the end of its last.
double length(const trace::RankTrace& rank, int step) {
    std::int64_t begin = INT64_MAX, end = INT64_MIN;
    for (const trace::OpTime& row : std::ranges::equal_range(rank.times, step, {}, &trace::OpTime::step)) {
        begin = std::min(begin, row.issue);
        end = std::max(end, row.end);
    }
    return begin < end ? static_cast<double>(end - begin) : 0.0;
}

} // namespace

bool is_steady(const trace::RankTrace& rank, int last) {
    constexpr double kSame = 1e-3;
    if (last < 3) return true; // the first step is another program
    const double now = length(rank, last);
    return std::abs(now - length(rank, last - 1)) <= kSame * now;
}

} // namespace zerosim::sim
