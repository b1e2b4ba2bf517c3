#include "report/sweep_table.hpp"

#include "base/units.hpp"
#include "report/cells.hpp"
#include "report/sweep_curves.hpp"
#include "report/text_plot.hpp"

#include <fmt/ranges.h>

#include <algorithm>

namespace zerosim::report {
namespace {

using analysis::SweepPoint;
using analysis::SweepReport;

std::string title(const SweepReport& sweep) {
    std::string text = "sweep";
    for (const char* key : {"model", "strategy.system", "train.precision", "cluster"}) {
        const bool swept = std::ranges::any_of(sweep.axes, [&](const auto& axis) { return axis.key == key; });
        if (const std::string value = sweep.value(key); !value.empty() && !swept) text += fmt::format("  |  {}{}", std::string_view(key) == "cluster" ? "on " : "", value);
        if (std::string_view(key) == "strategy.system" && !swept && std::ranges::none_of(sweep.axes, [](const auto& axis) { return axis.key == "strategy.zero-stage"; }))
            text += fmt::format(" ZeRO-{}", sweep.value("strategy.zero-stage"));
    }
    const std::string scaling = scaling_name(sweep);
    return scaling.empty() ? text : fmt::format("{}  |  {}: the {} stays", text, scaling, sweep.scaling == "strong" ? "global batch" : "batch of a rank");
}

/// Steps of minutes are no milliseconds.
bool in_seconds(const SweepReport& sweep) {
    return std::ranges::any_of(sweep.points, [](const SweepPoint& point) { return point.error.empty() && point.time.step >= 100; });
}

/// Tokens per second of a large job have many digits.
std::string whole(double value) { return grouped(fmt::format("{:.0f}", value)); }

std::string gib(std::int64_t bytes) { return fmt::format("{:.1f}", static_cast<double>(bytes) / (1024.0 * kMiB)); }

void add_row(TextTable& table, const SweepPoint& point, bool seconds) {
    std::vector<std::string> cells = point.values;
    if (!point.error.empty()) {
        cells.insert(cells.end(), {"refused", "-", "-", "-", "-", "-", "-", "-", "-"});
        table.add(std::move(cells));
        return;
    }
    const double exposed = point.time.step > 0 ? point.time.exposed_communication / point.time.step : 0;
    cells.insert(cells.end(), {fmt::format("{} = {}x{}x{}", point.global_batch, point.ranks, point.micro_batch, point.gradient_accumulation),
                               seconds ? fmt::format("{:.3f}", point.time.step) : milliseconds(point.time.step),
                               whole(point.tokens_per_second), whole(point.tokens_per_second_per_device), fmt::format("{:.1f}", 100 * point.efficiency),
                               fmt::format("{:.1f}", 100 * exposed), point.model_flops_utilization > 0 ? fmt::format("{:.1f}", 100 * point.model_flops_utilization) : "-",
                               gib(point.needed), point.fits ? "yes" : "NO"});
    table.add(std::move(cells));
}

std::string label(const SweepReport& sweep, const SweepPoint& point) {
    std::string text;
    for (std::size_t i = 0; i < point.values.size(); ++i) text += fmt::format("{}{} {}", i == 0 ? "" : " ", short_key(sweep.axes[i].key), point.values[i]);
    return text;
}

/// The answer that a comparison of strategies is made for: the fastest that fits, or how far all are from fitting.
std::string best_line(const SweepReport& sweep) {
    const SweepPoint *best = nullptr, *smallest = nullptr;
    std::size_t fitting = 0;
    for (const SweepPoint& point : sweep.points) {
        if (!point.error.empty()) continue;
        if (smallest == nullptr || point.needed < smallest->needed) smallest = &point;
        if (!point.fits) continue;
        ++fitting;
        if (best == nullptr || point.tokens_per_second > best->tokens_per_second) best = &point;
    }
    if (smallest == nullptr || sweep.points.size() < 2) return {};
    if (best == nullptr)
        return fmt::format("  nothing fits; the smallest: {} with {} GiB (zerosim simulate --explain plans what would lower it)\n", label(sweep, *smallest), gib(smallest->needed));
    return fmt::format("  fastest of the {} that fit{}: {} with {} tokens/s\n", fitting, fitting == 1 ? "s" : "", label(sweep, *best), whole(best->tokens_per_second));
}

/// One line for each reason, with the points that it refuses.
std::string refusals(const SweepReport& sweep) {
    constexpr std::size_t kNamed = 2;
    std::vector<std::pair<std::string, std::vector<std::string>>> reasons;
    for (const SweepPoint& point : sweep.points) {
        if (point.error.empty()) continue;
        const auto known = std::ranges::find(reasons, point.error, &std::pair<std::string, std::vector<std::string>>::first);
        if (known == reasons.end()) reasons.push_back({point.error, {label(sweep, point)}});
        else known->second.push_back(label(sweep, point));
    }
    std::string text;
    for (const auto& [reason, points] : reasons) {
        const std::size_t named = std::min(kNamed, points.size());
        const std::string more = points.size() > named ? fmt::format(" and {} more", points.size() - named) : "";
        text += fmt::format("  refused: {}{}: {}\n", fmt::join(points.begin(), points.begin() + static_cast<std::ptrdiff_t>(named), ", "), more, reason);
    }
    return text;
}

}  // namespace

std::string short_key(const std::string& key) { return key.substr(key.rfind('.') == std::string::npos ? 0 : key.rfind('.') + 1); }

std::string render_sweep_table(const SweepReport& sweep, Style style) {
    const bool seconds = in_seconds(sweep);
    std::vector<TextTable::Column> columns;
    for (const analysis::SweepAxis& axis : sweep.axes) columns.push_back({short_key(axis.key), ""});
    columns.insert(columns.end(), {{"global batch", ""}, {"step", seconds ? "(s)" : "(ms)"}, {"tokens/s", ""}, {"per device", ""}, {efficiency_name(sweep), "(%)"}, {"exposed", "(%)"},
                                   {"MFU", "(%)"}, {"memory", "(GiB)"}, {"fits", ""}});
    TextTable table(columns);
    for (const SweepPoint& point : sweep.points) add_row(table, point, seconds);
    std::string text = heading(title(sweep), style) + "\n\n" + table.render(style);
    text += faint(fmt::format("  global batch = ranks x micro-batch x accumulation; {}: tokens/s per device, of the first point's", efficiency_name(sweep)), style) + "\n";
    text += best_line(sweep);
    text += refusals(sweep);
    const Curves curves = sweep_curves(sweep);
    // Of a scaling the efficiency says how it goes; of other sweeps what comes out, for every curve begins at 100 %.
    const CurveSet& plotted = curves.throughput.ideal ? curves.efficiency : curves.throughput;
    if (curves.x.values.size() > 1) text.append("\n").append(text_plot(curves, plotted, style));
    return text;
}

}  // namespace zerosim::report
