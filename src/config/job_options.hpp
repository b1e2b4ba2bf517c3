// variation.* and reliability.* as the structs they fill.
// Called by resolve() alone.
// Reads values; draws nothing and computes no goodput.
#pragma once

#include "cluster/cluster.hpp"
#include "config/values.hpp"

namespace zerosim::config {

/// Throws ConfigError for a range of ranks, a link or a factor that is not one, or ranks that the job does not have.
[[nodiscard]] cluster::Variation variation_of(const Values& values, const cluster::Cluster& cluster, std::int64_t ranks);
[[nodiscard]] cluster::Reliability reliability_of(const Values& values);

} // namespace zerosim::config
