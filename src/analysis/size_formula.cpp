#include "analysis/size_formula.hpp"

#include "base/units.hpp"

#include <fmt/core.h>

#include <array>
#include <cmath>
#include <optional>

namespace zerosim::analysis {
namespace {

/// Fused projections hold 2, 3 or 4 of a size side by side.
constexpr std::int64_t kLargestMultiple = 4;
/// Shards are padded: a state within this of 4P/N is called that.
constexpr double kPadding = 0.02;

struct Named {
    std::string text;
    Symbol symbol;
};

std::optional<Named> name_of(std::int64_t dimension, const Symbols& symbols) {
    for (std::int64_t multiple = 1; multiple <= kLargestMultiple; ++multiple)
        for (const Symbol& symbol : symbols.dimensions)
            if (symbol.value > 1 && symbol.value * multiple == dimension)
                return Named{multiple == 1 ? symbol.name : fmt::format("{}{}", multiple, symbol.name), symbol};
    return std::nullopt;
}

/// A flat buffer: the product of two symbols (a matrix laid out as one row), or its share of one rank.
std::optional<std::vector<Named>> product_of(std::int64_t elements, const Symbols& symbols) {
    for (const Symbol& symbol : symbols.dimensions) {
        if (symbol.value <= 1 || elements % symbol.value != 0) continue;
        if (const auto other = name_of(elements / symbol.value, symbols)) return std::vector{Named{symbol.name, symbol}, *other};
    }
    return std::nullopt;
}

void append(SizeFormula& formula, const Named& part) {
    formula.text += part.text + " x ";
    for (const Symbol& known : formula.used)
        if (known.name == part.symbol.name) return;
    formula.used.push_back(part.symbol);
}

void append_dimension(SizeFormula& formula, std::int64_t dimension, const Symbols& symbols) {
    if (dimension == 1) return;
    if (const auto named = name_of(dimension, symbols)) return append(formula, *named);
    if (const auto product = product_of(dimension, symbols)) {
        for (const Named& part : *product) append(formula, part);
        return;
    }
    if (symbols.ranks > 1) {
        if (const auto product = product_of(dimension * symbols.ranks, symbols)) {
            for (const Named& part : *product) append(formula, part);
            formula.text.resize(formula.text.size() - 3);
            formula.text += "/N x ";
            return;
        }
    }
    formula.text += format_count(dimension) + " x ";
}

}  // namespace

SizeFormula size_formula(std::int64_t rows, std::int64_t columns, std::int64_t element_bytes, const Symbols& symbols) {
    SizeFormula formula;
    append_dimension(formula, rows, symbols);
    append_dimension(formula, columns, symbols);
    formula.text += fmt::format("{} B", element_bytes);
    return formula;
}

SizeFormula state_formula(std::int64_t bytes, const Symbols& symbols) {
    const double whole = static_cast<double>(bytes) / static_cast<double>(symbols.parameters);
    const double part = whole * static_cast<double>(symbols.ranks);
    const Symbol parameters{"P", symbols.parameters}, ranks{"N", symbols.ranks};
    for (const std::int64_t size : {1, 2, 4, 8}) {
        const double wanted = static_cast<double>(size);
        if (symbols.ranks > 1 && std::abs(part / wanted - 1) < kPadding) return {fmt::format("{} B x P/N", size), {parameters, ranks}};
        if (std::abs(whole / wanted - 1) < kPadding) return {fmt::format("{} B x P", size), {parameters}};
    }
    if (symbols.ranks > 1 && whole < 1) return {fmt::format("{:.3g} B x P/N", part), {parameters, ranks}};
    return {fmt::format("{:.3g} B x P", whole), {parameters}};
}

}  // namespace zerosim::analysis
