// Whether a simulated rank has settled: its last two steps take the same time.
// Used by simulate_until_steady, and by cli/ to say when one has not.
// Knows one rank's rows alone.
#pragma once

#include "trace/trace.hpp"

namespace zerosim::sim {

/// Within 0.1 %; a trace of fewer than three steps has nothing to compare.
[[nodiscard]] bool is_steady(const trace::RankTrace& rank, int last);

} // namespace zerosim::sim
