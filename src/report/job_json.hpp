// The parts of a report's JSON about a job's ranks and its failures: variation, reliability.
// Used by json.cpp and json_parse.cpp.
// Does not render the rest.
#pragma once

#include "analysis/run_report.hpp"

#include <nlohmann/json.hpp>

namespace zerosim::report {

/// Adds to the root, where the report has them.
void add_job_json(nlohmann::ordered_json& root, const analysis::RunReport& report);
void parse_job_json(const nlohmann::ordered_json& root, analysis::RunReport& report);

}  // namespace zerosim::report
