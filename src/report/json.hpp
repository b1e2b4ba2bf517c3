// A RunReport as the JSON of the contract (docs/design.md) and back: SI base units, the unit in the key, every number finite.
// Called by cli/: `--format json`, `zerosim compare` and `zerosim report` read what it wrote.
// Does not keep traces: see trace/trace_file.hpp.
#pragma once

#include "analysis/run_report.hpp"

#include <string>
#include <string_view>

namespace zerosim::report {

inline constexpr int kSchemaVersion = 1;

/// One object, indented, with a final newline. Beside the contract's fields: "formula" and "prediction", where there are any.
/// Throws BugError naming a field that is not finite.
[[nodiscard]] std::string render_json(const analysis::RunReport& report);
/// `source` names the text in errors. Throws ConfigError where it is not such an object.
[[nodiscard]] analysis::RunReport parse_json(std::string_view text, std::string_view source);

}  // namespace zerosim::report
