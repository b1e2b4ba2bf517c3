#include "report/compare_table.hpp"

#include "base/error.hpp"
#include "report/cells.hpp"

namespace zerosim::report {
namespace {

std::string_view unit_of(analysis::Quantity quantity) {
    switch (quantity) {
        case analysis::Quantity::bytes: return "MiB";
        case analysis::Quantity::seconds: return "ms";
        case analysis::Quantity::count: return "";
        case analysis::Quantity::tokens_per_second: return "1/s";
        case analysis::Quantity::ratio: return "";
    }
    return "";
}

std::string cell(analysis::Quantity quantity, double value) {
    switch (quantity) {
        case analysis::Quantity::bytes: return mib(value);
        case analysis::Quantity::seconds: return milliseconds(value);
        case analysis::Quantity::count: return fmt::format("{:.0f}", value);
        case analysis::Quantity::tokens_per_second: return fmt::format("{:.1f}", value);
        case analysis::Quantity::ratio: return fmt::format("{:.4f}", value);
    }
    return {};
}

std::vector<TextTable::Column> columns(std::span<const std::string> labels, std::string_view first) {
    std::vector<TextTable::Column> result{{std::string(first), "", true}, {"", "", true}};
    for (const std::string& label : labels) result.push_back({label, "", false});
    return result;
}

/// "+25.0 %" against the first: of two reports the signed change, of more the largest.
std::string change(const analysis::ComparedValue& row) {
    if (row.difference() == 0) return "=";
    if (row.values.size() != 2) return fmt::format("{:.1f} %", 100 * row.difference());
    if (row.values[0] == 0) return "new";
    return fmt::format("{:+.1f} %", 100 * (row.values[1] / row.values[0] - 1));
}

}  // namespace

std::string format_quantity(analysis::Quantity quantity, double value) {
    const std::string_view unit = unit_of(quantity);
    return cell(quantity, value) + (unit.empty() ? "" : " ") + std::string(unit);
}

std::string render_comparison(std::span<const std::string> labels, std::span<const analysis::RunReport> reports, Style style) {
    check(labels.size() == reports.size(), "one label per compared report");
    std::string text;
    if (const auto keys = analysis::differing_keys(reports); !keys.empty()) {
        TextTable table(columns(labels, "scenario"));
        for (const analysis::ComparedKey& key : keys) {
            std::vector<std::string> cells{key.key, ""};
            cells.insert(cells.end(), key.values.begin(), key.values.end());
            table.add(std::move(cells));
        }
        text += table.render(style) + "\n";
    }
    std::string section;
    auto heads = columns(labels, "per rank and step");
    heads.push_back({reports.size() == 2 ? "change" : "largest change", "", false});
    TextTable table(std::move(heads));
    for (const analysis::ComparedValue& row : analysis::compare(reports)) {
        if (row.section != section) table.add({row.section});
        section = row.section;
        std::vector<std::string> cells{"  " + words(row.name), std::string(unit_of(row.quantity))};
        for (const double value : row.values) cells.push_back(cell(row.quantity, value));
        cells.push_back(change(row));
        table.add(std::move(cells));
    }
    return text + table.render(style) + faint("  memory and bytes: rank 0; times: the slowest rank's median step; change: relative to the first", style) + "\n";
}

}  // namespace zerosim::report
