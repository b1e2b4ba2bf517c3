// The parts of a step by name: kernels by class, exposed communication by collective and axis, waiting for peers, copies, host.
// Called by analyze(); definitions for readers: docs/metrics.md.
// Does not look for causes itself: breakdown.hpp does. The parts of a step add up to it, to the nanosecond.
#pragma once

#include "analysis/breakdown.hpp"
#include "analysis/step_report.hpp"
#include "schedule/schedule.hpp"

#include <span>
#include <string>
#include <vector>

namespace zerosim::analysis {

/// Of one step, in nanoseconds; parts of length 0 are left out.
struct NamedPart {
    std::string group, name;
    std::int64_t length = 0;
};
[[nodiscard]] std::vector<NamedPart> named_parts(const schedule::Schedule& schedule, const StepTimes& step, const Breakdown& breakdown);

/// What a wait for `cause` is called: group and name, as in StepPart.
[[nodiscard]] std::pair<std::string, std::string> name_of_wait(const schedule::Schedule& schedule, const schedule::Program& program, OpId cause,
                                                               bool late_peers);
/// "all-gather data"; loss and norm: "scalar-all-reduce data".
[[nodiscard]] std::string collective_name(const schedule::Schedule& schedule, const schedule::Collective& collective);
/// "PCIe copies", "NVMe copies", "device copies": what an op on a stream beside the compute stream is called.
[[nodiscard]] std::string copy_name(const schedule::Program& program, const schedule::Op& op);

/// Parts of the median step: the mean of the two middle ones where their number is even, so that the sum is the median.
[[nodiscard]] std::vector<StepPart> step_parts(const schedule::Schedule& schedule, std::span<const StepTimes> steps,
                                               std::span<const Breakdown> breakdowns);

}  // namespace zerosim::analysis
