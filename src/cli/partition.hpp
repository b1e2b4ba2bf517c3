// Who owns which elements of which tensor, read from the optimizer's operations of a schedule.
// Called by `zerosim show --partition`.
// Knows no strategy: what a rank updates is what it owns, at every stage.
#pragma once

#include "schedule/schedule.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace zerosim::cli {

/// Elements [begin, end) of a parameter that `rank` updates; `unit` is the flat layout they lie in.
struct OwnedRange {
    std::int64_t rank = 0;
    std::string unit, parameter;
    std::int64_t begin = 0, end = 0, elements = 0; // elements: of the whole parameter
};
/// Ranges of all ranks, by rank, then in the order of the schedule.
[[nodiscard]] std::vector<OwnedRange> owned_ranges(const schedule::Schedule& schedule);

} // namespace zerosim::cli
