// The points of a sweep: one or two options over lists of values, each point simulated; and how well the job scales.
// Filled by cli/ (sweep), rendered by report/. Fields: docs/metrics.md.
// Holds what a table and curves show, not whole reports.
#pragma once

#include "analysis/run_report.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zerosim::analysis {

struct SweepAxis {
    std::string key;
    std::vector<std::string> values;
};

struct SweepPoint {
    std::vector<std::string> values;   // one for each axis
    std::string error;                 // why the scenario is refused; then nothing below
    std::int64_t ranks = 0, micro_batch = 0, gradient_accumulation = 0, global_batch = 0;
    TimeReport time;
    std::optional<StepInterval> interval;
    double tokens_per_second = 0;      // all ranks
    double tokens_per_second_per_device = 0, model_flops_utilization = 0;
    double efficiency = 0;             // tokens per second and device over those of the curve's first point
    std::int64_t peak_allocated = 0, peak_reserved = 0, needed = 0, device_total = 0;   // needed: with context and communicator
    bool fits = true;
};

struct SweepReport {
    std::vector<std::pair<std::string, std::string>> scenario;   // of the first point that was computed
    std::int64_t parameters = 0;
    std::string scaling;               // strong | weak
    std::vector<SweepAxis> axes;       // the first is the curves' x, the second, if any, tells them apart
    std::vector<SweepPoint> points;    // the last axis varies fastest
    [[nodiscard]] std::string value(std::string_view key) const;
};

/// What a point shows of its report.
[[nodiscard]] SweepPoint sweep_point(std::vector<std::string> values, const RunReport& report);
/// Fills `efficiency`: points of one curve share the value of the second axis.
void add_efficiencies(SweepReport& sweep);

}  // namespace zerosim::analysis
