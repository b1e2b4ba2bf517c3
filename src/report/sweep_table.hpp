// A sweep as text with a small plot, as JSON (one object) and as CSV (a line a point).
// Called by `zerosim sweep`.
// Does not draw files: sweep_svg.hpp does.
#pragma once

#include "analysis/sweep_report.hpp"
#include "report/text_table.hpp"

#include <string>

namespace zerosim::report {

[[nodiscard]] std::string render_sweep_table(const analysis::SweepReport& sweep, Style style = Style::plain);
[[nodiscard]] std::string render_sweep_json(const analysis::SweepReport& sweep);
[[nodiscard]] std::string render_sweep_csv(const analysis::SweepReport& sweep);

/// "strategy.zero-stage" -> "zero-stage": how tables and curves call an option.
[[nodiscard]] std::string short_key(const std::string& key);

}  // namespace zerosim::report
