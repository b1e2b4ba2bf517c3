// configs/residuals.cfg: which residuals of the calibration go with a cluster.
// Called by resolve().
// Does not compute intervals: analysis/step_interval.hpp does.
#pragma once

#include "cluster/cluster.hpp"
#include "cluster/residuals.hpp"
#include "config/search_paths.hpp"

#include <optional>

namespace zerosim::config {

/// None for CPU clusters, for which no residuals were measured, and where there is no such file. `fp8`: 8-bit products have their own.
[[nodiscard]] std::optional<cluster::Residuals> residuals_of(const cluster::Cluster& cluster, bool fp8, const SearchPaths& paths);

} // namespace zerosim::config
