// The `inference` object of a result.
// Used by render_json and parse_json.
// Knows no layout.
#pragma once

#include "analysis/run_report.hpp"

#include <nlohmann/json.hpp>

namespace zerosim::report {

void add_inference_json(nlohmann::ordered_json& root, const analysis::RunReport& report);
void parse_inference_json(const nlohmann::ordered_json& root, analysis::RunReport& report);

}  // namespace zerosim::report
