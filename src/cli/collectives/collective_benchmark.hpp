// One collective at one size, timed and verified as nccl-tests does: every rank starts together, the slowest counts.
// Used by `collectives` (the table) and `calibrate` (the fit).
// Does not print and does not know a cost model.
#pragma once

#include "base/collective.hpp"
#include "base/dtype.hpp"
#include "cli/collectives/collective_exercise.hpp"
#include "cli/collectives/rank_team.hpp"
#include "cost/cost.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace zerosim::cli {

/// What nccl-tests has options for.
struct CollectiveOptions {
    int root = 0;                            // of kinds that have one
    Reduction reduction = Reduction::sum;    // of kinds that reduce
    std::optional<int> warm_ups;             // none: as many as the back end needs
    bool check = true;                       // the result is looked at
    bool in_place = false;                   // on hosts; GPUs are measured in both places
};

struct CollectiveCase {
    CollectiveKind kind{};
    DType type = DType::fp32;
    std::int64_t bytes = 0; // asked; the message is the largest that divides
    int repeats = 30;
    std::int64_t walked_bytes = 0; // other memory that a kernel of every rank reads and writes before each repeat, as within a step
    cost::Coldness coldness{};     // what that leaves of the collective in caches
    CollectiveOptions options{};
};

struct CollectiveSample {
    CollectiveKind kind{};
    DType type = DType::fp32;
    std::int64_t bytes = 0;                   // message: count * dtype size of the larger buffer
    std::int64_t count = 0;                   // elements, nccl-tests' count: of the smaller buffer, or of a peer's part of an all-to-all
    double seconds = 0;                       // median of the repeats, each the slowest rank's
    double low_seconds = 0, high_seconds = 0; // 10th and 90th percentile
    std::int64_t wrong = 0;                   // elements of all ranks that differ from what they must be
    bool checked = true;                      // `wrong` was counted
    cost::Coldness coldness{};                // how cold its buffers and the transport were made before each repeat
    [[nodiscard]] bool warm() const { return coldness.own_data == 0; }
    [[nodiscard]] bool cold() const { return coldness.data > 0; } // neither: out of the core's own cache alone
    [[nodiscard]] double algbw() const { return seconds > 0 ? static_cast<double>(bytes) / seconds : 0.0; }
    [[nodiscard]] double busbw(int ranks) const { return algbw() * ring_factor(kind, ranks); }
};

/// Elements each rank passes as `count` to the communicator, for a message of at most `bytes`.
[[nodiscard]] std::int64_t call_count(CollectiveKind kind, DType type, std::int64_t bytes, std::int64_t ranks);

/// Called on every rank; the result is the same on all.
[[nodiscard]] CollectiveSample measure_collective(TeamRank& rank, const CollectiveCase& what);

/// Median and spread of what each repeat took on the slowest rank.
[[nodiscard]] CollectiveSample sample_of(const CollectiveExercise& exercise, std::vector<double> seconds, std::optional<std::int64_t> wrong);
/// Repeat by repeat, the slowest rank's.
[[nodiscard]] std::vector<double> slowest_of_ranks(TeamRank& rank, const std::vector<double>& mine);
[[nodiscard]] std::int64_t wrong_of_ranks(TeamRank& rank, std::int64_t mine);

/// Value at `fraction` of the sorted samples, interpolated.
[[nodiscard]] double percentile(std::vector<double> samples, double fraction);

} // namespace zerosim::cli
