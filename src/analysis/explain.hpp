// explain(): which op is the peak, and the largest holders of bytes there, each with its formula in the scenario's own symbols.
// Called by cli/ for --explain, which adds what alternatives would save.
// Replans nothing; works on requested bytes of one rank, as the schedule's roles do.
#pragma once

#include "analysis/explanation.hpp"
#include "schedule/schedule.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace zerosim::analysis {

/// A quantity that sizes are made of: {"T", 8192, "tokens of a micro-batch"}.
struct Symbol {
    std::string name;
    std::int64_t value = 0;
    bool of_tokens = false;   // counts tokens or positions: no parameter has such a dimension
};

/// `symbols` in order of preference: the first that matches a dimension names it. Whole buffers are matched with `parameters` / `ranks`.
struct Symbols {
    std::vector<Symbol> dimensions;
    std::int64_t parameters = 0, ranks = 1;
};

/// The third step's peak of `rank`, its holders grouped: model states by role, everything else by name.
[[nodiscard]] Explanation explain(const schedule::Schedule& schedule, std::int64_t rank, const Symbols& symbols);

}  // namespace zerosim::analysis
