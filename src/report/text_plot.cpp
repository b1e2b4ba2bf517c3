#include "report/text_plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace zerosim::report {
namespace {

constexpr std::size_t kWidth = 60, kHeight = 8;   // characters between the axes
constexpr char kSeveral = '#';                    // curves that meet in one cell

std::string short_number(double value) {
    if (value >= 1e7) return fmt::format("{:.0f}M", value / 1e6);
    return value >= 1e5 ? fmt::format("{:.0f}k", value / 1e3) : fmt::format("{:.0f}", value);
}

std::string label_line(const XAxis& x) {
    std::string line(kWidth + 12, ' ');
    std::size_t free = 0;   // where the next label may begin
    for (std::size_t i = 0; i < x.values.size(); ++i) {
        const auto at = static_cast<std::size_t>(std::lround(x.positions[i] * (kWidth - 1)));
        const std::size_t begin = at >= x.values[i].size() / 2 ? at - x.values[i].size() / 2 : 0;
        if (begin < free || begin + x.values[i].size() > line.size()) continue;
        line.replace(begin, x.values[i].size(), x.values[i]);
        free = begin + x.values[i].size() + 1;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    return line;
}

char mark_of(std::size_t curve, std::size_t curves) { return curves == 1 ? '*' : static_cast<char>('a' + static_cast<int>(curve % 26)); }

}  // namespace

std::string text_plot(const Curves& curves, const CurveSet& set, Style style) {
    double top = 0;
    for (const Curve& curve : set.curves)
        for (const CurvePoint& point : curve.points) top = std::max(top, point.y);
    if (top <= 0) return {};
    std::vector<std::string> rows(kHeight + 1, std::string(kWidth, ' '));
    bool several = false;
    for (std::size_t c = 0; c < set.curves.size(); ++c)
        for (const CurvePoint& point : set.curves[c].points) {
            const auto column = static_cast<std::size_t>(std::lround(curves.x.positions[point.x] * (kWidth - 1)));
            const auto row = kHeight - static_cast<std::size_t>(std::lround(point.y / top * kHeight));
            char& cell = rows[row][column];
            const char mark = mark_of(c, set.curves.size());
            cell = cell == ' ' || cell == mark ? mark : kSeveral;
            several = several || cell == kSeveral;
        }
    std::string text = "  " + heading(set.label, style) + "\n";
    for (std::size_t row = 0; row <= kHeight; ++row) {
        const double y = top * static_cast<double>(kHeight - row) / kHeight;
        const std::string label = row % 4 == 0 ? short_number(y) : "";
        std::string line = fmt::format("  {:>6} |{}", label, rows[row]);
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    text += "  " + std::string(7, ' ') + "+" + std::string(kWidth, '-') + "\n" + std::string(10, ' ') + label_line(curves.x) + "  " + curves.x.label + "\n";
    if (set.curves.size() > 1) {
        std::string legend = "          ";
        for (std::size_t c = 0; c < set.curves.size(); ++c) legend += fmt::format("{} = {}   ", mark_of(c, set.curves.size()), set.curves[c].name);
        if (several) legend += fmt::format("{} = several", kSeveral);
        legend.erase(legend.find_last_not_of(' ') + 1);
        text += faint(legend, style) + "\n";
    }
    return text;
}

}  // namespace zerosim::report
