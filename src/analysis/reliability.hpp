// What failures cost a long job: time between failures, checkpoints, lost work, restarts, spare nodes; and what is left, the goodput.
// Called by cli/ for a simulated job.
// Formulas, no random numbers: a seeded simulation checks them in the tests. Definitions: docs/metrics.md.
#pragma once

#include "analysis/job_report.hpp"
#include "cluster/cluster.hpp"
#include "schedule/schedule.hpp"

namespace zerosim::analysis {

/// Bytes of one checkpoint: every parameter, master weight and moment once, in the dtypes in which the schedule keeps them.
[[nodiscard]] std::int64_t checkpoint_bytes(const schedule::Schedule& schedule, std::int64_t parameters, std::int64_t trainable_parameters);

/// The interval between checkpoints of `checkpoint` seconds that loses least (Daly 2006, doi:10.1016/j.future.2004.11.016; its figures 3 to 5 are a
/// test; Young 1974 to first order).
[[nodiscard]] double optimal_interval(double mtbf, double checkpoint);

/// Share of the time in which work is done that is kept (Daly 2006): failures are exponential, hit computation, checkpoints
/// and restarts alike, and throw the job back to the last checkpoint.
[[nodiscard]] double kept_share(double mtbf, double checkpoint, double interval, double restart);

/// Probability that more than `spares` nodes are away at once when `load` = repair time / time between failures and a job that lacks a
/// node stands still (Erlang's loss formula; holds for any distribution of repair times).
[[nodiscard]] double without_spare(double load, std::int64_t spares);

[[nodiscard]] ReliabilityReport reliability(const cluster::Cluster& cluster, std::int64_t ranks, std::int64_t checkpoint_bytes, double step);

}  // namespace zerosim::analysis
