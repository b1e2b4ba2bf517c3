// What a report must know of a scenario beside its schedule: counts, peaks, formulas, every key and value.
// Used by simulate, run and compare.
// Does not measure.
#pragma once

#include "analysis/analyze.hpp"
#include "config/resolve.hpp"

namespace zerosim::cli {

/// `simulated`: when memory that other streams use comes back, where it is known.
[[nodiscard]] analysis::Facts facts_of(const config::Resolved& resolved, const schedule::Schedule& schedule, const trace::Trace* simulated = nullptr);

/// A run hands out memory by zerosim's own executor, whosesoever schedule it is: no framework's allocator stands between.
void use_executor_memory(analysis::Facts& facts, const schedule::Schedule& schedule);

}  // namespace zerosim::cli
