// sim::simulate: a schedule in virtual time. Symmetric ranks share one clock: cost is O(roles * ops).
// Called by cli/ and search/; its trace has the same form as exec/'s.
// Does not know strategies; durations come from cost/.
#pragma once

#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"
#include "sim/durations.hpp"
#include "trace/trace.hpp"

#include <span>
#include <vector>

namespace zerosim::sim {

struct Options {
    /// By program, where they are known: as durations_of_programs() gives them for this schedule and cluster, with its slow and failed links or without them.
    std::span<const Durations> durations{};
    /// False: the trace has no rows of allocs and frees that nothing waits for (three of four ops of an eager program, of no length).
    bool bookkeeping_rows = true;
};

[[nodiscard]] std::vector<Durations> durations_of_programs(const schedule::Schedule& schedule, const cluster::Cluster& cluster);

/// Simulates init and `steps` steps. Deterministic.
[[nodiscard]] trace::Trace simulate(const schedule::Schedule& schedule, const cluster::Cluster& cluster, int steps, const Options& options = {});

/// The same with `least` steps, and where ranks differ one more until two successive ones take the same time on every traced rank, at most
/// `most`: ranks that wait for a slow one run ahead of it for a step or two before they settle.
[[nodiscard]] trace::Trace simulate_until_steady(const schedule::Schedule& schedule, const cluster::Cluster& cluster, int least, int most,
                                                 const Options& options = {});

} // namespace zerosim::sim
