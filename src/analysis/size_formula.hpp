// size_formula(): bytes of a buffer as a product of the scenario's symbols: 8192 x 128256 x 4 B is "T x V x 4 B".
// Called by explain().
// Invents nothing: a dimension that no symbol explains stays a number.
#pragma once

#include "analysis/explain.hpp"

#include <string>
#include <vector>

namespace zerosim::analysis {

struct SizeFormula {
    std::string text;                    // "T x 3h x 2 B"
    std::vector<Symbol> used;            // T, h
};
/// One storage whose largest view has `rows` x `columns` elements of `element_bytes`.
[[nodiscard]] SizeFormula size_formula(std::int64_t rows, std::int64_t columns, std::int64_t element_bytes, const Symbols& symbols);
/// A state of the whole model: "4 B x P/N", or bytes a parameter where padding or frozen weights make it differ.
[[nodiscard]] SizeFormula state_formula(std::int64_t bytes, const Symbols& symbols);

}  // namespace zerosim::analysis
