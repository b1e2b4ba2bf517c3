// What `calibrate` measures of a machine's processors, all ranks at once, and the cluster that follows from it.
// Called by command_calibrate.
// Fits nothing itself (calibrate_fit) and prints nothing.
#pragma once

#include "cli/calibrate/calibrate_fit.hpp"
#include "cli/calibrate/calibrate_collectives.hpp"
#include "cli/collectives/rank_team.hpp"

#include <string>
#include <vector>

namespace zerosim::cli {

/// Everything is measured so many times over, and a kernel's least median of a round counts: what disturbs one for seconds spares another.
inline constexpr int kRounds = 5;

struct Measurement {
    std::vector<KernelSample> kernels;
    SteadyLinks links; // no samples on one rank
    int ranks = 1, threads = 1;
    std::int64_t cores = 1;
    double issue_seconds = 0, hand_over_seconds = 0;
    std::int64_t samples = 0; // of each time, over all rounds
    std::string transport;
};

/// `threads` of a rank's kernels; 0: the whole cores it may use. `repeats` of each time, over all rounds.
[[nodiscard]] Measurement measure(RankTeam& team, std::int64_t asked_threads, int repeats);

/// A cluster, and how well its links are known.
struct Fitted {
    cluster::Cluster cluster;
    LinkFit links;
};

/// What is measured is set; what is not (links, with one rank) stays as `before` has it.
[[nodiscard]] Fitted fitted(cluster::Cluster before, const Measurement& measurement);

} // namespace zerosim::cli
