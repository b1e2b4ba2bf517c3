// A RunReport as text for people: memory, communication, time, throughput, prediction beside measurement. At most 120 columns.
// Called by cli/ for `--format table`; what each number means: docs/metrics.md.
// Does not decide whether colour is wanted.
#pragma once

#include "analysis/run_report.hpp"
#include "report/text_table.hpp"

#include <string>

namespace zerosim::report {

[[nodiscard]] std::string render_table(const analysis::RunReport& report, Style style = Style::plain);

// Its sections, each with its heading line.
[[nodiscard]] std::string title_line(const analysis::RunReport& report);
[[nodiscard]] std::string memory_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string ranks_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string communication_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string time_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string path_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string sensitivity_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string variation_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string reliability_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string inference_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string gap_section(const analysis::RunReport& report, Style style);
[[nodiscard]] std::string training_section(const analysis::RunReport& report, Style style);

}  // namespace zerosim::report
