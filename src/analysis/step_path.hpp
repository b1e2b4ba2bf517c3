// The critical path of the step that a report speaks of: the slowest rank's median step.
// Called by report/perfetto.
// Does not fold it: path_report() does.
#pragma once

#include "analysis/critical_path.hpp"
#include "trace/trace.hpp"

#include <vector>

namespace zerosim::analysis {

/// Empty where the trace holds no step. Times are on rank 0's clock.
[[nodiscard]] std::vector<PathStretch> slowest_step_path(const schedule::Schedule& schedule, const trace::Trace& trace);

}  // namespace zerosim::analysis
