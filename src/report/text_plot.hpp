// Curves as a plot of a few lines of plain text.
// Used by sweep_table.cpp.
// Needs no more than 80 columns and no colour.
#pragma once

#include "report/sweep_curves.hpp"
#include "report/text_table.hpp"

#include <string>

namespace zerosim::report {

/// y from 0 to the largest value. A letter for each curve (a, b, ...), '*' for one alone, '#' where two meet.
[[nodiscard]] std::string text_plot(const Curves& curves, const CurveSet& set, Style style);

}  // namespace zerosim::report
