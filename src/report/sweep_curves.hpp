// A sweep's points as curves: one for each value of the second axis, over the values of the first.
// Used by the terminal plot and the SVG.
// Draws nothing.
#pragma once

#include "analysis/sweep_report.hpp"

#include <optional>
#include <string>
#include <vector>

namespace zerosim::report {

enum class Scale : unsigned char { linear, log2, categories };

/// The x axis: positions 0 to 1 of the swept values, in the order of the axis.
struct XAxis {
    std::string label;
    Scale scale = Scale::linear;
    std::vector<std::string> values;
    std::vector<double> positions;
};

struct CurvePoint {
    std::size_t x = 0;        // into XAxis::values
    double y = 0;
    bool fits = true;
};
struct Curve {
    std::string name;         // "zero-stage 3"; "" for a sweep over one option
    std::vector<CurvePoint> points;
};
/// One quantity over x.
struct CurveSet {
    std::string label;        // "efficiency (%)"
    std::vector<Curve> curves;
    std::optional<double> limit;      // a horizontal line: the device's memory
    std::string limit_label;
    bool log_y = false;
    bool ideal = false;               // a line from the first point, proportional to the ranks
};
struct Curves {
    XAxis x;
    CurveSet throughput, efficiency, memory;
};

/// "weak scaling" or "strong scaling"; "" where the ranks stay and so does the batch of one.
[[nodiscard]] std::string scaling_name(const analysis::SweepReport& sweep);

/// Tokens per second and device over the first point's: of a scaling an efficiency, of other sweeps a comparison.
[[nodiscard]] std::string efficiency_name(const analysis::SweepReport& sweep);

[[nodiscard]] Curves sweep_curves(const analysis::SweepReport& sweep);

}  // namespace zerosim::report
