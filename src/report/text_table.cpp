#include "report/text_table.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <numeric>

namespace zerosim::report {
namespace {

constexpr std::string_view kIndent = "  ";

}  // namespace

std::string heading(std::string_view text, Style style) {
    return style == Style::colour ? "\033[1m" + std::string(text) + "\033[0m" : std::string(text);
}

std::string faint(std::string_view text, Style style) {
    return style == Style::colour ? "\033[2m" + std::string(text) + "\033[0m" : std::string(text);
}

void TextTable::add(std::vector<std::string> cells) {
    check(cells.size() <= columns_.size(), "a table row has more cells than columns");
    cells.resize(columns_.size());
    rows_.push_back(std::move(cells));
}

std::string TextTable::line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) const {
    std::string out;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        out += kIndent;
        const std::string space(widths[i] - cells[i].size(), ' ');
        out += columns_[i].left ? cells[i] + space : space + cells[i];
    }
    out.erase(out.find_last_not_of(' ') + 1);
    return out + '\n';
}

std::string TextTable::render(Style style) const {
    std::vector<std::size_t> widths;
    std::vector<std::string> heads, units;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
        std::size_t width = std::max(columns_[i].head.size(), columns_[i].unit.size());
        for (const auto& row : rows_) width = std::max(width, row[i].size());
        widths.push_back(width);
        heads.push_back(columns_[i].head);
        units.push_back(columns_[i].unit);
    }
    std::string out = faint(line(heads, widths), style);
    if (std::ranges::any_of(units, [](const std::string& unit) { return !unit.empty(); })) out += faint(line(units, widths), style);
    const std::size_t width = std::accumulate(widths.begin(), widths.end(), kIndent.size() * (widths.size() - 1));
    for (std::size_t row = 0; row < rows_.size(); ++row) {
        if (std::ranges::find(rules_, row) != rules_.end()) out += std::string(kIndent) + std::string(width, '-') + '\n';
        out += line(rows_[row], widths);
    }
    return out;
}

}  // namespace zerosim::report
