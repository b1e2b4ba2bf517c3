// What the ranks measured, brought together: bytes to gather them over a communicator, and the parts of a report made of them.
// Called by command_run after the last step.
// Does not print.
#pragma once

#include "analysis/run_report.hpp"
#include "cli/collectives/link_reference.hpp"
#include "cluster/cluster.hpp"
#include "exec/execute.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace zerosim::cli {

[[nodiscard]] std::string to_bytes(const exec::RankResult& result);
[[nodiscard]] exec::RankResult rank_result_from_bytes(std::string_view bytes);

/// Losses and norms of rank 0 (global values), final norms and hashes over all ranks.
[[nodiscard]] analysis::TrainingReport training_report(const schedule::Schedule& schedule, const std::vector<exec::RankResult>& ranks);
/// Memory by the driver's figure of each rank that has one, the paths that all ranks' collectives took, and what devices remarked.
void add_devices(analysis::RunReport& report, const std::vector<exec::RankResult>& ranks, const std::string& asked_transport);
/// The links' reference beside that of the cluster's calibration; where they were not the same, the notes say so too.
void add_links(analysis::RunReport& report, const LinkTimes& links, const cluster::Cluster& cluster, std::int64_t ranks);
/// All ranks' rows with clocks aligned.
[[nodiscard]] trace::Trace merged_trace(const schedule::Schedule& schedule, std::vector<exec::RankResult>& ranks);
/// Median over the steps after the first.
[[nodiscard]] double median_step_seconds(const exec::RankResult& rank);

}  // namespace zerosim::cli
