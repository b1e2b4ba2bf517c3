// Aligned columns of plain text: a heading line, a line of units, rows; numbers to the right.
// Used by the tables of report/ and by cli/ lists.
// Does not wrap and does not know numbers: cells are text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace zerosim::report {

/// Escape sequences for headings; none unless the caller knows a person looks at a terminal.
enum class Style : unsigned char { plain, colour };
[[nodiscard]] std::string heading(std::string_view text, Style style);
[[nodiscard]] std::string faint(std::string_view text, Style style);

class TextTable {
public:
    struct Column {
        std::string head, unit;
        bool left = false;
    };
    explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
    void add(std::vector<std::string> cells);
    /// A thin line before the next row.
    void rule() { rules_.push_back(rows_.size()); }
    [[nodiscard]] std::string render(Style style) const;

private:
    [[nodiscard]] std::string line(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths) const;
    std::vector<Column> columns_;
    std::vector<std::vector<std::string>> rows_;
    std::vector<std::size_t> rules_;
};

}  // namespace zerosim::report
