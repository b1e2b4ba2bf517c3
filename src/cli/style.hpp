// Whether a person looks at a terminal that shows colours.
// Used by the commands that print tables.
// Does not print.
#pragma once

#include "report/text_table.hpp"

#include <map>
#include <string>

namespace zerosim::cli {

/// Colour only on a terminal that wants it, and not under MPI, where a rank's stdout is a pseudo-terminal even when mpirun's is a file.
[[nodiscard]] report::Style output_style(const std::map<std::string, std::string>& environment, const std::string& output, bool terminal);
/// The same of this process's stdout.
[[nodiscard]] report::Style output_style(const std::map<std::string, std::string>& environment, const std::string& output);

}  // namespace zerosim::cli
