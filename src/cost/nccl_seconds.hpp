// How long a collective takes with the algorithm and protocol that NCCL chooses for it.
// Called by collective_seconds on clusters with `collective.tuning = nccl-*`, and by the fit of the measured constants.
// Idle links and devices; ranks arrive together.
#pragma once

#include "cost/nccl_measured.hpp"
#include "cost/nccl_tuning.hpp"

namespace zerosim::cost {

[[nodiscard]] double nccl_seconds(const NcclChoice& choice, CollectiveKind kind, double bytes, const Placement& place,
                                  const NcclTopology& topology, const cluster::Cluster& cluster, const NcclMeasured& measured);

} // namespace zerosim::cost
