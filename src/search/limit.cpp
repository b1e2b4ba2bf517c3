#include "search/limit.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace zerosim::search {
namespace {

/// Index i stands for the value first + i * step.
struct Grid {
    std::int64_t first = 0, step = 1, count = 0;
    [[nodiscard]] std::int64_t value(std::int64_t index) const { return first + index * step; }
};

Grid grid_of(const Range& range) {
    check(range.step >= 1 && range.low >= 1, "a range of positive values and a positive step");
    const std::int64_t first = (range.low + range.step - 1) / range.step * range.step;
    return {first, range.step, first > range.high ? 0 : (range.high - first) / range.step + 1};
}

/// The number of leading indices for which `good` holds: doubling from the start, then bisection.
std::int64_t leading(std::int64_t count, const std::function<bool(std::int64_t)>& good) {
    if (count == 0 || !good(0)) return 0;
    std::int64_t yes = 0, no = 1;
    while (no < count && good(no)) {
        yes = no;
        no = no * 2 + 1;
    }
    no = std::min(no, count);
    while (no - yes > 1) {
        const std::int64_t middle = yes + (no - yes) / 2;
        (good(middle) ? yes : no) = middle;
    }
    return yes + 1;
}

}  // namespace

Found largest(const Range& range, const Holds& holds) {
    const Grid grid = grid_of(range);
    Found found;
    const std::int64_t good = leading(grid.count, [&](std::int64_t index) {
        ++found.evaluations;
        return holds(grid.value(index));
    });
    if (good > 0) found.value = grid.value(good - 1);
    if (good < grid.count) found.next = grid.value(good);
    return found;
}

Found smallest(const Range& range, const Holds& holds) {
    const Grid grid = grid_of(range);
    Found found;
    const std::int64_t bad = leading(grid.count, [&](std::int64_t index) {
        ++found.evaluations;
        return !holds(grid.value(index));
    });
    if (bad < grid.count) found.value = grid.value(bad);
    if (bad > 0) found.next = grid.value(bad - 1);
    return found;
}

}  // namespace zerosim::search
