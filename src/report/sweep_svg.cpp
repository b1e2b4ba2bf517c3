#include "report/sweep_svg.hpp"

#include "report/sweep_curves.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace zerosim::report {
namespace {

constexpr double kPanelWidth = 400, kPanelHeight = 340, kLeft = 70, kRight = 16, kTop = 34, kBottom = 52;   // pixels; margins inside a panel
// Okabe and Ito's colours, which colour-blind readers tell apart.
constexpr std::array kColours{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"};

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) out += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
    return out;
}

/// 1200000 -> "1.2M"
std::string short_number(double value) {
    const double size = std::abs(value);
    const auto [divisor, suffix] = size >= 1e9 ? std::pair(1e9, "G") : size >= 1e6 ? std::pair(1e6, "M") : size >= 1e3 ? std::pair(1e3, "k") : std::pair(1.0, "");
    return fmt::format("{:.4g}{}", value / divisor, suffix);
}

/// A y axis: from pixels at the bottom to pixels at the top, with its ticks.
struct YAxis {
    bool log = false;
    double low = 0, high = 1;
    std::vector<double> ticks;
    [[nodiscard]] double pixel(double y) const {
        const double part = log ? std::log2(y / low) / std::log2(high / low) : (y - low) / (high - low);
        return kPanelHeight - kBottom - part * (kPanelHeight - kTop - kBottom);
    }
};

/// 1, 2 or 5 times a power of ten: about five of them up to `top`.
double tick_step(double top) {
    const double power = std::pow(10.0, std::floor(std::log10(top / 5)));
    for (const double factor : {1.0, 2.0, 5.0})
        if (top / (factor * power) <= 6) return factor * power;
    return 10 * power;
}

/// The largest of 1, 2, 5, 10, ... that is not above `value`, and the next one after such a number.
double tick_below(double value) {
    const double power = std::pow(10.0, std::floor(std::log10(value) + 1e-9));
    return (value >= 5 * power ? 5 : value >= 2 * power ? 2 : 1) * power;
}
double tick_after(double tick) {
    const double leading = std::round(tick / std::pow(10.0, std::floor(std::log10(tick) + 1e-9)));
    return tick * (leading == 2 ? 2.5 : 2.0);
}

YAxis y_axis(const CurveSet& set, double ideal_top) {
    double low = INFINITY, high = std::max(set.limit.value_or(0), ideal_top);
    for (const Curve& curve : set.curves)
        for (const CurvePoint& point : curve.points) {
            low = std::min(low, point.y);
            high = std::max(high, point.y);
        }
    YAxis axis;
    axis.log = set.log_y && low > 0 && high > low;
    if (!axis.log) {
        axis.high = std::max(high * 1.05, 1e-9);
        const double step = tick_step(axis.high);
        for (double tick = 0; tick <= axis.high; tick += step) axis.ticks.push_back(tick);
        return axis;
    }
    axis.low = tick_below(low);
    axis.high = tick_below(high) >= high ? tick_below(high) : tick_after(tick_below(high));
    const bool decades = axis.high / axis.low > 1000;   // then 2 and 5 are too many
    for (double tick = axis.low; tick <= axis.high * 1.001; tick = tick_after(tick))
        if (!decades || std::abs(std::log10(tick) - std::round(std::log10(tick))) < 0.01) axis.ticks.push_back(tick);
    return axis;
}

double x_pixel(double position) {
    constexpr double kInset = 14;   // of the first and the last point from the frame
    return kLeft + kInset + position * (kPanelWidth - kLeft - kRight - 2 * kInset);
}

std::string text_at(double x, double y, const std::string& text, std::string_view attributes) {
    return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" {}>{}</text>\n", x, y, attributes, escaped(text));
}

/// Every how many-th value, counted from the last, has a label, so that none touches the one before.
std::size_t label_stride(const XAxis& x) {
    const auto half = [&](std::size_t i) { return 4.0 * static_cast<double>(x.values[i].size()) + 2; };
    for (std::size_t every = 1; every < x.values.size(); ++every) {
        bool free = true;
        for (std::size_t i = x.values.size() - 1; i >= every; i -= every)
            free &= std::abs(x_pixel(x.positions[i]) - x_pixel(x.positions[i - every])) >= half(i) + half(i - every);
        if (free) return every;
    }
    return std::max<std::size_t>(1, x.values.size());
}

std::string axes(const XAxis& x, const YAxis& y, const CurveSet& set) {
    std::string svg;
    for (const double tick : y.ticks) {
        const double at = y.pixel(tick);
        svg += fmt::format("<line x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", kLeft, kPanelWidth - kRight, at, at);
        svg += text_at(kLeft - 6, at + 4, short_number(tick), "text-anchor=\"end\"");
    }
    const double bottom = kPanelHeight - kBottom;
    const std::size_t every = label_stride(x);
    for (std::size_t i = 0; i < x.values.size(); ++i) {
        const double at = x_pixel(x.positions[i]);
        svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#333\"/>\n", at, at, bottom, bottom + 5);
        if (x.scale == Scale::categories)   // names cannot be left out: where they would touch, every other one stands lower
            svg += text_at(at, bottom + 16 + (every > 1 && i % 2 == 1 ? 12 : 0), x.values[i], "text-anchor=\"middle\"");
        else if ((x.values.size() - 1 - i) % every == 0)
            svg += text_at(at, bottom + 18, x.values[i], "text-anchor=\"middle\"");
    }
    svg += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" stroke=\"#333\"/>\n", kLeft, kTop, kPanelWidth - kLeft - kRight,
                       kPanelHeight - kTop - kBottom);
    const char* const scale = x.scale == Scale::log2 ? " (log2)" : "";
    svg += text_at((kLeft + kPanelWidth - kRight) / 2, kPanelHeight - 7, x.label + scale, "text-anchor=\"middle\"");
    svg += text_at((kLeft + kPanelWidth - kRight) / 2, kTop - 12, set.label, "text-anchor=\"middle\" font-weight=\"bold\"");
    return svg;
}

std::string curve_svg(const XAxis& x, const YAxis& y, const Curve& curve, const std::string& colour) {
    std::string path, marks;
    for (const CurvePoint& point : curve.points) {
        const double at = x_pixel(x.positions[point.x]), height = y.pixel(point.y);
        if (x.scale != Scale::categories) path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", at, height);
        marks += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3.5\" fill=\"{}\" stroke=\"{}\"/>\n", at, height, point.fits ? colour : "white", colour);
    }
    if (path.empty()) return marks;
    return fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.8\"/>\n", path, colour) + marks;
}

/// Throughput proportional to the ranks, from the first curve's first point.
struct Ideal {
    double x1 = 0, y1 = 0, x2 = 0, y2 = 0;   // positions and values; y2 = 0: none
};
Ideal ideal_line(const Curves& curves, const CurveSet& set) {
    if (!set.ideal || set.curves.front().points.size() < 2) return {};
    const CurvePoint &first = set.curves.front().points.front(), &last = set.curves.front().points.back();
    const double growth = std::stod(curves.x.values[last.x]) / std::stod(curves.x.values[first.x]);
    return {curves.x.positions[first.x], first.y, curves.x.positions[last.x], first.y * growth};
}

std::string dashed(double x1, double y1, double x2, double y2) {
    return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#777\" stroke-dasharray=\"5 4\"/>\n", x1, y1, x2, y2);
}

std::string panel(const Curves& curves, const CurveSet& set) {
    const Ideal ideal = ideal_line(curves, set);
    const YAxis y = y_axis(set, ideal.y2);
    std::string svg = axes(curves.x, y, set);
    if (ideal.y2 > 0 && (y.log || curves.x.scale == Scale::linear)) {
        svg += dashed(x_pixel(ideal.x1), y.pixel(ideal.y1), x_pixel(ideal.x2), y.pixel(ideal.y2));
        svg += text_at((x_pixel(ideal.x1) + x_pixel(ideal.x2)) / 2 - 8, (y.pixel(ideal.y1) + y.pixel(ideal.y2)) / 2 - 6, "ideal", "text-anchor=\"end\" fill=\"#777\"");
    }
    if (set.limit) {
        svg += dashed(kLeft, y.pixel(*set.limit), kPanelWidth - kRight, y.pixel(*set.limit));
        svg += text_at(kPanelWidth - kRight - 4, y.pixel(*set.limit) + 14, set.limit_label, "text-anchor=\"end\" fill=\"#777\"");
    }
    for (std::size_t c = 0; c < set.curves.size(); ++c) svg += curve_svg(curves.x, y, set.curves[c], kColours[c % kColours.size()]);
    return svg;
}

std::string legend(const CurveSet& set, double width, double top) {
    std::string svg;
    double x = kLeft, y = top;
    for (std::size_t c = 0; c < set.curves.size() && set.curves.size() > 1; ++c) {
        const double length = 40 + 7.2 * static_cast<double>(set.curves[c].name.size());
        if (x + length > width) {
            x = kLeft;
            y += 18;
        }
        svg += fmt::format("<line x1=\"{:.1f}\" x2=\"{:.1f}\" y1=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" stroke-width=\"3\"/>\n", x, x + 18, y - 4, y - 4, kColours[c % kColours.size()]);
        svg += text_at(x + 24, y, set.curves[c].name, "");
        x += length;
    }
    return svg;
}

}  // namespace

std::string render_sweep_svg(const analysis::SweepReport& sweep) {
    const Curves curves = sweep_curves(sweep);
    const std::array sets{&curves.throughput, &curves.efficiency, &curves.memory};
    constexpr double kTitle = 30;
    const double legend_height = sweep.axes.size() > 1 ? 18.0 * std::ceil(static_cast<double>(curves.efficiency.curves.size()) / 6) + 12 : 10;
    const double width = kPanelWidth * static_cast<double>(sets.size()), height = kTitle + kPanelHeight + legend_height;
    std::string svg = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\">\n"
                                  "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n", width, height);
    const bool full = std::ranges::any_of(sweep.points, [](const analysis::SweepPoint& point) { return !point.fits; });
    std::string title;
    for (const char* key : {"model", "strategy.system", "strategy.zero-stage", "train.precision", "cluster"}) {   // what is swept stands on the axis or in the legend
        const std::string value = sweep.value(key);
        if (value.empty() || std::ranges::find(sweep.axes, key, &analysis::SweepAxis::key) != sweep.axes.end()) continue;
        title.append(std::string_view(key) == "strategy.zero-stage" ? "ZeRO-" : "").append(value).append(", ");
    }
    if (const std::string scaling = scaling_name(sweep); !scaling.empty()) title += scaling;
    else if (!title.empty()) title.resize(title.size() - 2); // the comma
    if (full) title += ". Hollow: does not fit";
    svg += text_at(width / 2, 20, title, "text-anchor=\"middle\" font-size=\"14\"");
    for (std::size_t i = 0; i < sets.size(); ++i)
        svg += fmt::format("<g transform=\"translate({} {})\">\n{}</g>\n", kPanelWidth * static_cast<double>(i), kTitle, panel(curves, *sets[i]));
    return svg + legend(curves.efficiency, width, kTitle + kPanelHeight + 12) + "</svg>\n";
}

}  // namespace zerosim::report
