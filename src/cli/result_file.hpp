// A stored result as given on the command line: JSON from `--format json`, or a trace file, which carries the result as metadata.
// Used by compare and report.
// Does not read scenario files and plans nothing.
#pragma once

#include "analysis/run_report.hpp"
#include "trace/trace_file.hpp"

#include <optional>
#include <string>

namespace zerosim::cli {

struct ResultFile {
    analysis::RunReport report;
    std::optional<trace::Trace> trace;
};
/// Whether `path` is a file that holds a result: it begins with a brace or is a trace file.
[[nodiscard]] bool is_result_file(const std::string& path);
/// Throws ConfigError where it cannot be read.
[[nodiscard]] ResultFile read_result_file(const std::string& path);

}  // namespace zerosim::cli
