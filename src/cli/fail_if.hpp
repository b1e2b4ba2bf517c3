// --fail-if: a condition on the report, such as "memory.peak_allocated_bytes>80GiB"; exit code 1 when it holds.
// Called by simulate and run after the report is rendered.
// Compares numbers only.
#pragma once

#include "analysis/run_report.hpp"

#include <string>

namespace zerosim::cli {

/// ConfigError unless it is FIELD>VALUE or FIELD<VALUE; the field is looked up when there is a report.
void check_condition(const std::string& condition);
/// True when the condition holds. ConfigError for an unknown field (with the nearest) or a malformed condition.
[[nodiscard]] bool condition_holds(const std::string& condition, const analysis::RunReport& report);

}  // namespace zerosim::cli
