// variation.* and reliability.* as the structs they fill.
// Called by resolve() alone.
// Reads values and draws the links that are to be `random`; computes no goodput.
#pragma once

#include "cluster/cluster.hpp"
#include "config/values.hpp"

#include <string>
#include <vector>

namespace zerosim::config {

/// Throws ConfigError for a range of ranks, a link or a factor that is not one, or ranks that the job does not have. `notes` gets what was
/// drawn for `random`.
[[nodiscard]] cluster::Variation variation_of(const Values& values, const cluster::Cluster& cluster, std::int64_t ranks, std::vector<std::string>& notes);
[[nodiscard]] cluster::Reliability reliability_of(const Values& values);

} // namespace zerosim::config
