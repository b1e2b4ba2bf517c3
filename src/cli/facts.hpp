// What a report must know of a scenario beside its schedule: counts, peaks, formulas, every key and value.
// Used by simulate, run and compare.
// Does not measure.
#pragma once

#include "analysis/analyze.hpp"
#include "config/resolve.hpp"

namespace zerosim::cli {

[[nodiscard]] analysis::Facts facts_of(const config::Resolved& resolved, const schedule::Schedule& schedule);

}  // namespace zerosim::cli
