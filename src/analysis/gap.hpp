// Why a measured step took longer (or shorter) than predicted: the difference split by cause, summing to it exactly.
// Called by cli/ after a run whose schedule was also simulated; tests hold it to its sum.
// Compares traces of one schedule only, op by op; see compare.hpp for different scenarios.
#pragma once

#include "analysis/run_report.hpp"
#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace zerosim::analysis {

/// Nanoseconds, so that the parts sum to the gap exactly.
struct StepGap {
    struct Part {
        std::string cause;
        std::int64_t predicted = 0, measured = 0;
    };
    std::int64_t rank = 0;
    std::int64_t predicted_step = 0, measured_step = 0;
    std::vector<Part> parts;   // kernels by class, copies, exposed collectives, late peers, host issue, contention
};

/// The median step (the lower of the middle two) of the slowest measured rank against the same rank, or its role's, as predicted.
/// Contention: what kernels that ran beside a collective took longer than kernels of their class that ran alone did relative to
/// their prediction, and waiting for copies on other streams.
[[nodiscard]] StepGap step_gap(const schedule::Schedule& schedule, const trace::Trace& predicted, const trace::Trace& measured);

}  // namespace zerosim::analysis
