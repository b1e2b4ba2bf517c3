// The sections of --explain, --estimators and of --max and --min: who holds the peak, what would lower it, what others estimate, the limit.
// Called by render_table().
// Computes nothing.
#pragma once

#include "analysis/run_report.hpp"
#include "report/text_table.hpp"

#include <string>

namespace zerosim::report {

// Each is empty where the report has nothing of the kind.
[[nodiscard]] std::string explain_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string estimators_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string limit_section(const analysis::RunReport& report, Style style);

}  // namespace zerosim::report
