// The parts of a report's JSON about one step: breakdown, roofline, critical path, sensitivity, interval.
// Used by json.cpp and json_parse.cpp.
// Does not render the rest.
#pragma once

#include "analysis/run_report.hpp"

#include <nlohmann/json.hpp>

namespace zerosim::report {

/// Adds to "time", "throughput" and the root, where the report has them.
void add_step_json(nlohmann::ordered_json& root, const analysis::RunReport& report);
void parse_step_json(const nlohmann::ordered_json& root, analysis::RunReport& report);

}  // namespace zerosim::report
