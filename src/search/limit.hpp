// The largest or smallest value for which something holds, by doubling and bisection.
// Called by cli/ for `simulate --max` and `--min`: does the scenario fit with this micro-batch, this many ranks?
// Knows no scenario; what holds must hold for all smaller (larger) values too, which the last two questions check.
#pragma once

#include <cstdint>
#include <functional>

namespace zerosim::search {

/// Multiples of `step` in [low, high].
struct Range {
    std::int64_t low = 1, high = 1, step = 1;
};
struct Found {
    std::int64_t value = 0;        // 0: none
    std::int64_t next = 0;         // the first that does not hold; 0: all of the range hold
    std::int64_t evaluations = 0;
};
using Holds = std::function<bool(std::int64_t)>;

/// O(log(high / step)) questions.
[[nodiscard]] Found largest(const Range& range, const Holds& holds);
[[nodiscard]] Found smallest(const Range& range, const Holds& holds);

}  // namespace zerosim::search
