// Several reports beside each other as text: what differs in their scenarios, then every quantity with the difference to the first.
// Called by `zerosim compare`.
// Does not judge: analysis/compare.hpp computes the differences.
#pragma once

#include "analysis/compare.hpp"
#include "report/text_table.hpp"

#include <span>
#include <string>

namespace zerosim::report {

/// `labels` name the columns, one per report.
[[nodiscard]] std::string render_comparison(std::span<const std::string> labels, std::span<const analysis::RunReport> reports,
                                            Style style = Style::plain);
/// A value with its unit, as in the comparison's cells.
[[nodiscard]] std::string format_quantity(analysis::Quantity quantity, double value);

}  // namespace zerosim::report
