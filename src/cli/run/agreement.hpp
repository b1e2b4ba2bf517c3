// What ranks compare before they train together: their options and their collectives. And how many voices become one.
// Called by MpiJob with what all ranks sent.
// Pure: does not communicate and does not print.
#pragma once

#include "config/resolve.hpp"
#include "schedule/schedule.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace zerosim::cli {

/// Lines that must be equal on every rank: "key = value" of all options but those of checks and output, then the collectives.
[[nodiscard]] std::vector<std::string> agreement_lines(const config::Resolved& resolved, const schedule::Schedule& schedule, std::int64_t rank);
/// "train.seed = 1, but rank 0 has train.seed = 0": the first line that differs; "" if none does.
[[nodiscard]] std::string first_difference(const std::vector<std::string>& mine, const std::vector<std::string>& rank_zero);

/// One line for all ranks that say the same: "rank 0 and 3 more"; "" where all ranks of the job say it.
struct Voice {
    std::string who, text;
};
/// `texts` by rank, "" = nothing to say.
[[nodiscard]] std::vector<Voice> voices(const std::vector<std::string>& texts);

[[nodiscard]] std::string join_lines(const std::vector<std::string>& lines);
[[nodiscard]] std::vector<std::string> split_lines(std::string_view text);

}  // namespace zerosim::cli
