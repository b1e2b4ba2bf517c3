// A sweep's curves as an SVG: throughput with the ideal line, efficiency, memory with the device's; labelled axes, ticks, a legend.
// Called by `zerosim sweep --svg FILE`.
// Stands alone: no script, no font but the reader's.
#pragma once

#include "analysis/sweep_report.hpp"

#include <string>

namespace zerosim::report {

/// Ranks and other numbers over a wide range are on a log2 axis. Hollow marks: the point does not fit the device.
[[nodiscard]] std::string render_sweep_svg(const analysis::SweepReport& sweep);

}  // namespace zerosim::report
