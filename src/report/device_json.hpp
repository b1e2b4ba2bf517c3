// The parts of a report's JSON about a run's devices: memory by the driver's figure, paths of collectives, state of the links.
// Used by json.cpp and json_parse.cpp.
// Does not render the rest.
#pragma once

#include "analysis/run_report.hpp"

#include <nlohmann/json.hpp>

namespace zerosim::report {

[[nodiscard]] nlohmann::ordered_json driver_json(const analysis::DriverReport& driver);
[[nodiscard]] analysis::DriverReport parse_driver(const nlohmann::ordered_json& object);
/// Adds "transport" to the root, where the report has it.
void add_transport_json(nlohmann::ordered_json& root, const analysis::RunReport& report);
void parse_transport_json(const nlohmann::ordered_json& root, analysis::RunReport& report);
/// The same of "links".
void add_links_json(nlohmann::ordered_json& root, const analysis::RunReport& report);
void parse_links_json(const nlohmann::ordered_json& root, analysis::RunReport& report);

}  // namespace zerosim::report
