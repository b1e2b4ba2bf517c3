// Durations of a program's ops on a cluster, in whole nanoseconds, with launch groups fused: computed once, used every step.
// Called by sim::simulate.
// Does not know streams, deps or peers.
#pragma once

#include "cluster/cluster.hpp"
#include "cost/cost.hpp"
#include "schedule/schedule.hpp"
#include "sim/link_load.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::sim {

struct Durations {
    std::vector<std::int64_t> device;    // by op; of a launch group's first op: the whole group's
    std::vector<std::uint32_t> launched; // by op: ops that start with it, itself included (1 unless it opens a launch group)
    std::vector<std::int64_t> issue;     // by op: host time to give the device its work; 0 where there is none
    std::vector<cost::Coldness> coldness; // by op, of collectives on CPUs; else empty
};

/// Ops of one launch group that follow each other on one stream and axis are one launch: the first pays its latency, the others
/// only their bytes (ncclGroupStart/End fuses them into one kernel).
[[nodiscard]] Durations durations(const schedule::Schedule& schedule, const schedule::Program& program,
                                  const cluster::Cluster& cluster);

/// Device time of the collectives alone (0 for other ops), on a cluster whose links differ.
[[nodiscard]] std::vector<std::int64_t> collective_durations(const schedule::Schedule& schedule, const schedule::Program& program,
                                                             const Durations& nominal, const cluster::Cluster& cluster);

/// What the launch that begins at `op` asks of its devices' links: the bytes that a ring sends, over its time and the links' achieved
/// rates, at most 1. Latency takes no bandwidth.
[[nodiscard]] LinkDemand link_demand(const schedule::Schedule& schedule, const schedule::Program& program, const Durations& durations,
                                     std::size_t op, const cluster::Cluster& cluster);

[[nodiscard]] constexpr bool gives_device_work(schedule::OpKind kind) {
    using enum schedule::OpKind;
    return kind != alloc && kind != free && kind != host_wait && kind != mark && kind != host_compute;
}

} // namespace zerosim::sim
