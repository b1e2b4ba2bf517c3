// The table of `zerosim collectives`: nccl-tests' columns, measured, predicted or both.
// Called by command_collectives.
// Neither measures nor predicts.
#pragma once

#include "cli/collectives/collective_benchmark.hpp"
#include "cost/collective_choice.hpp"

#include <optional>
#include <string>
#include <vector>

namespace zerosim::cli {

struct CollectivePrediction {
    double seconds = 0;
    cost::CollectiveChoice choice;
};

/// `sample` holds the predicted time where nothing was measured.
struct CollectiveRow {
    CollectiveSample sample;
    bool measured = true;
    std::optional<CollectivePrediction> predicted;
    std::optional<CollectiveSample> in_place = std::nullopt;   // measured, of kinds that have one
    double raw_seconds = 0;                     // GPUs: by the library's own call; 0 = not measured
    int root = 0;                               // of kinds that have one
    Reduction reduction = Reduction::sum;       // of kinds that reduce
};

/// nccl-tests' last lines, for a kind.
struct CollectiveSummary {
    CollectiveKind kind{};
    double average_busbw = 0;                   // bytes/s, over all sizes and both places
    std::int64_t wrong = 0;
    bool checked = false;
};
/// Of rows that lie together by kind.
[[nodiscard]] std::vector<CollectiveSummary> summaries(const std::vector<CollectiveRow>& rows, int ranks);

[[nodiscard]] std::string collective_table(const std::vector<CollectiveRow>& rows, int ranks, const std::string& origin);
[[nodiscard]] std::string collective_csv(const std::vector<CollectiveRow>& rows, int ranks);
[[nodiscard]] std::string collective_json(const std::vector<CollectiveRow>& rows, int ranks, const std::string& origin);

} // namespace zerosim::cli
