// Where a step went, what it could not be shorter than, how near the hardware it came, how sure the prediction is: data of a report.
// Part of RunReport; filled by analyze() and by cli/ (sensitivity, interval), rendered by report/. Fields: docs/metrics.md.
// Holds SI base units only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zerosim::analysis {

/// A part of the slowest rank's step. The parts' seconds add up to the step.
struct StepPart {
    std::string group;     // compute | communication | waiting | copies | host: what the compute stream did or waited for
    std::string name;      // "gemm", "all-gather data", "PCIe copies", "issue"
    double seconds = 0;
};

/// A kernel class against the roofline of its device.
struct RooflineRow {
    std::string name;              // of the class
    std::int64_t count = 0;        // ops of one step
    double flops = 0, bytes = 0;   // of one step: arithmetic, and compulsory traffic
    double seconds = 0;            // the compute stream busy with the class
    double roof_seconds = 0;       // what the device's peaks allow, op by op
    std::string bound;             // compute | memory | host
    [[nodiscard]] double intensity() const { return bytes > 0 ? flops / bytes : 0; }
    [[nodiscard]] double roof_fraction() const { return seconds > 0 ? roof_seconds / seconds : 0; }
};

/// Ops of one kind and phase on the critical path, in time that only they can give back.
struct PathPart {
    std::string group;             // as in StepPart
    std::string name, phase;       // "gemm" backward, "all-gather data" forward, "issue" forward
    double seconds = 0;
    std::int64_t count = 0;        // stretches of the path
    std::string longest;           // the op of the longest stretch, by name
    double longest_seconds = 0;
    std::string waited_for;        // what most of these ops had waited for before they began; "" = nothing
};
/// The chain of ops that ends with the step and has no slack; its parts' seconds add up to `step`.
struct CriticalPath {
    std::int64_t rank = 0;         // whose step ends last
    double step = 0;
    std::vector<PathPart> parts;   // longest first
    std::vector<std::int64_t> ranks;   // that the path runs through, from the step's end backwards
};

/// The step with one resource improved by `improvement`, all else the same.
struct SensitivityRow {
    std::string resource;          // "network bandwidth"
    double improvement = 0.1;
    double step = 0, change = 0;   // seconds; change = step / asked step - 1
    std::int64_t other_algorithms = 0; // collectives for which the library would choose another algorithm or protocol
};

/// Where the measured step is expected to lie, from the residuals of the calibration.
struct StepInterval {
    double low = 0, high = 0;      // seconds
    double coverage = 0;           // share of measured steps inside
};

}  // namespace zerosim::analysis
