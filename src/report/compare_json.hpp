// Several reports beside each other as one JSON object: what differs in their scenarios, then every quantity.
// Called by `zerosim compare --format json`; values in SI base units.
// Does not hold the whole reports: those are what was compared.
#pragma once

#include "analysis/compare.hpp"

#include <span>
#include <string>

namespace zerosim::report {

[[nodiscard]] std::string render_comparison_json(std::span<const std::string> labels, std::span<const analysis::RunReport> reports);

}  // namespace zerosim::report
