// The points of `zerosim sweep`: --over taken apart, every combination of its values, and the batch that strong or weak scaling gives each.
// Called by command_sweep.
// Does not simulate.
#pragma once

#include "analysis/sweep_report.hpp"
#include "config/values.hpp"

#include <string>
#include <vector>

namespace zerosim::cli {

/// "ranks=8,16,32;train.micro-batch=1,2" or "ranks=8..1024" (doubling). ConfigError for what is not that, naming the nearest option.
[[nodiscard]] std::vector<analysis::SweepAxis> sweep_axes(const std::string& over);

/// ConfigError for a swept option that the command line sets as well; a scenario file's value gives way. Ranks beside a global batch
/// say what a rank's share is.
void check_swept(const config::Values& asked, const std::vector<analysis::SweepAxis>& axes);

enum class Scaling : std::uint8_t { strong, weak };
/// --strong or --weak; neither: strong where train.global-batch is given, else weak.
[[nodiscard]] Scaling scaling_of(const config::Values& values);

/// What scaling keeps: sequences of a step (strong), of a rank's micro-batch and its number of micro-batches (weak).
struct ReferenceBatch {
    Scaling scaling = Scaling::weak;
    std::int64_t global_batch = 1, micro_batch = 1, gradient_accumulation = 1;
    bool micro_batch_swept = false, accumulation_swept = false, global_batch_swept = false;
};
/// Of the first point. ConfigError where both scale and axis would set the same thing.
[[nodiscard]] ReferenceBatch reference_batch(const config::Values& values, const std::vector<analysis::SweepAxis>& axes);

/// Values of one point: those asked, the axes' and the batch. ConfigError where the batch does not divide, saying what would.
[[nodiscard]] config::Values point_values(config::Values asked, const std::vector<analysis::SweepAxis>& axes, const std::vector<std::string>& point,
                                          const ReferenceBatch& reference);

/// Every combination, the last axis fastest.
[[nodiscard]] std::vector<std::vector<std::string>> combinations(const std::vector<analysis::SweepAxis>& axes);

}  // namespace zerosim::cli
