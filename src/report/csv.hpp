// Reports as CSV: one line per report, one column per quantity, units in the column names; for spreadsheets and sweeps.
// Called by cli/: `--format csv`.
// Leaves out what is not one number per report: losses, norms, hashes, ranks, the parts of the gap (JSON has them).
#pragma once

#include "analysis/run_report.hpp"

#include <span>
#include <string>

namespace zerosim::report {

/// Columns are the union over the reports, in order of first appearance; a report's missing quantity is an empty field. RFC 4180 quoting.
[[nodiscard]] std::string render_csv(std::span<const analysis::RunReport> reports);

}  // namespace zerosim::report
