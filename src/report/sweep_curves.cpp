#include "report/sweep_curves.hpp"

#include "base/units.hpp"
#include "report/sweep_table.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

namespace zerosim::report {
namespace {

using analysis::SweepPoint;
using analysis::SweepReport;

/// Numbers over more than a factor of 4 are spaced by their logarithm, others evenly by value; names one beside the other.
XAxis x_axis(const analysis::SweepAxis& axis) {
    XAxis x{short_key(axis.key), Scale::linear, axis.values, {}};
    std::vector<double> numbers;
    for (const std::string& value : axis.values) {
        const auto number = parse_real(value);
        if (!number) x.scale = Scale::categories;
        numbers.push_back(number.value_or(0));
    }
    if (x.scale == Scale::categories) {   // each in the middle of its share of the axis
        for (std::size_t i = 0; i < numbers.size(); ++i) x.positions.push_back((static_cast<double>(i) + 0.5) / static_cast<double>(numbers.size()));
        return x;
    }
    const auto [low, high] = std::ranges::minmax(numbers);
    if (x.scale == Scale::linear && low > 0 && high / low >= 4) {
        x.scale = Scale::log2;
        std::ranges::transform(numbers, numbers.begin(), [](double value) { return std::log2(value); });
    }
    const auto [first, last] = std::ranges::minmax(numbers);
    for (const double number : numbers) x.positions.push_back(last > first ? (number - first) / (last - first) : 0.5);
    return x;
}

CurveSet curve_set(const SweepReport& sweep, std::string label, const std::function<double(const SweepPoint&)>& value) {
    CurveSet set;
    set.label = std::move(label);
    const std::size_t curves = sweep.axes.size() > 1 ? sweep.axes[1].values.size() : 1;
    for (std::size_t c = 0; c < curves; ++c) {
        Curve curve;
        if (sweep.axes.size() > 1) curve.name = short_key(sweep.axes[1].key) + ' ' + sweep.axes[1].values[c];
        for (std::size_t x = 0; x < sweep.axes.front().values.size(); ++x) {
            const SweepPoint& point = sweep.points.at(x * curves + c);
            if (point.error.empty()) curve.points.push_back({x, value(point), point.fits});
        }
        set.curves.push_back(std::move(curve));
    }
    return set;
}

}  // namespace

std::string scaling_name(const SweepReport& sweep) {
    const bool ranks = std::ranges::any_of(sweep.axes, [](const analysis::SweepAxis& axis) { return axis.key == "ranks"; });
    return ranks || sweep.scaling == "strong" ? sweep.scaling + " scaling" : "";
}

std::string efficiency_name(const SweepReport& sweep) { return sweep.axes.front().key == "ranks" ? "efficiency" : "vs first"; }

Curves sweep_curves(const SweepReport& sweep) {
    constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;
    Curves curves{x_axis(sweep.axes.front()), curve_set(sweep, "tokens/s, all devices", [](const SweepPoint& p) { return p.tokens_per_second; }),
                  curve_set(sweep, efficiency_name(sweep) + " (%)", [](const SweepPoint& p) { return 100 * p.efficiency; }),
                  curve_set(sweep, "memory of a device (GiB)", [=](const SweepPoint& p) { return static_cast<double>(p.needed) / kGiB; })};
    curves.throughput.ideal = sweep.axes.front().key == "ranks";
    curves.throughput.log_y = curves.x.scale == Scale::log2;
    std::set<std::int64_t> devices;
    for (const SweepPoint& point : sweep.points)
        if (point.error.empty()) devices.insert(point.device_total);
    if (devices.size() == 1) curves.memory.limit = static_cast<double>(*devices.begin()) / kGiB;
    curves.memory.limit_label = "device";
    return curves;
}

}  // namespace zerosim::report
