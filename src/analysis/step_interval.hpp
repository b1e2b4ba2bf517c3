// The interval in which a measured step is expected, from the parts of the predicted one and the residuals of the calibration.
// Called by analyze() for simulated steps.
// Takes the classes of error for independent; what docs/accuracy.md says of coverage was counted, not assumed.
#pragma once

#include "analysis/step_report.hpp"
#include "cluster/cluster.hpp"
#include "cluster/residuals.hpp"
#include "schedule/schedule.hpp"

#include <optional>
#include <span>

namespace zerosim::analysis {

/// Each part moves by its class's median; the distances to the quantiles add up as squares. Only exposed communication counts.
[[nodiscard]] std::optional<StepInterval> step_interval(const schedule::Schedule& schedule, const cluster::Cluster& cluster, std::span<const StepPart> parts,
                                         const cluster::Residuals& residuals);

}  // namespace zerosim::analysis
