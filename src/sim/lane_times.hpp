// Times of all lanes of a role at once: loops over flat arrays that the compiler turns into vector instructions.
// Used by sim::simulate and sim/meeting for every op.
// Knows no ops. The results are the same whatever instructions are used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace zerosim::sim {

using Times = std::vector<std::int64_t>; // by lane of a role, nanoseconds

/// times = max(times, floor - earlier)
void raise(Times& times, const Times& floor, std::int64_t earlier = 0);
/// times = max(times, other + later), and into `result`.
void latest(Times& result, const Times& times, const Times& other, std::int64_t later);
/// result = begin + lasts
void add(Times& result, const Times& begin, const Times& lasts);
void add(Times& result, const Times& begin, std::int64_t lasts);

/// The first lane with the highest time.
struct Latest {
    std::int64_t time = INT64_MIN;
    std::uint32_t lane = 0;
};
[[nodiscard]] Latest latest(const Times& times);
/// sums += end - times; the sum of what was added.
std::int64_t add_differences(Times& sums, std::size_t first, std::int64_t end, const Times& times);

/// To the nearest whole number; for durations (not negative, below 2^51).
[[nodiscard]] inline std::int64_t rounded(double nanoseconds) { return static_cast<std::int64_t>(nanoseconds + 0.5); }

} // namespace zerosim::sim
