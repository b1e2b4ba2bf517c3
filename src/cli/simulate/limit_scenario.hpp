// The largest micro-batch, sequence or number of layers that fits, the fewest ranks: `simulate --max KEY`, `--min ranks`.
// Called by command_simulate, which then simulates the scenario found.
// Does not print.
#pragma once

#include "cli/simulate/replan.hpp"

namespace zerosim::cli {

/// The limit that `--max` or `--min` asks for. ConfigError for an option that has none, naming those that have.
[[nodiscard]] analysis::Limit limit_of(const config::Resolved& resolved, Replanner& replanner);

}  // namespace zerosim::cli
