// JSON of --explain, --estimators, --max and --min, both directions.
// Called by render_json() and parse_json().
// Adds a key only where the report has the part.
#pragma once

#include "analysis/run_report.hpp"

#include <nlohmann/json_fwd.hpp>

namespace zerosim::report {

void write_explanations(const analysis::RunReport& report, nlohmann::ordered_json& root);
void read_explanations(const nlohmann::ordered_json& root, analysis::RunReport& report);

}  // namespace zerosim::report
