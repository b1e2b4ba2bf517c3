// Kernel classes of a step against the roofline of the device: arithmetic intensity, what bounds them, how near the roof they are.
// Called by analyze(), for simulated and measured steps alike.
// Knows peaks (cluster/), no efficiencies: those are the cost model's.
#pragma once

#include "analysis/breakdown.hpp"
#include "analysis/step_report.hpp"
#include "cluster/cluster.hpp"

#include <vector>

namespace zerosim::analysis {

/// Rows by kernel class, longest first. The roof of an op: the longer of its arithmetic at the peak of its dtype and its compulsory
/// bytes at the memory's bandwidth (Williams, Waterman, Patterson, CACM 52(4), 2009). A class is bound by the host when the compute
/// stream idled for the host's issue before its ops longer than it was busy with them, else by the larger sum of the two.
[[nodiscard]] std::vector<RooflineRow> roofline(const StepTimes& step, const Breakdown& breakdown, const cluster::Cluster& cluster,
                                                std::int64_t ranks);

/// FLOPs of the matrix products and of attention that a rank's kernels do in a steady step, recomputation included.
[[nodiscard]] double hardware_flops(const schedule::Program& program);

}  // namespace zerosim::analysis
