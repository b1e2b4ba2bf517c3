// How far measured times lay from predicted ones, by class of error: what an interval around a prediction is made of.
// Read by config/ from configs/residuals.cfg for the cluster at hand; used by analysis/step_interval.
// Holds quantiles of measured / predicted - 1; written by tests/calibration/fit_residuals.py.
#pragma once

namespace zerosim::cluster {

struct Residual {
    double low = 0, median = 0, high = 0; // low and high: `coverage` of the measured rows lie between
};

struct Residuals {
    double coverage = 0;   // 0.8: from the 10 % to the 90 % quantile
    Residual compute;      // kernels, by the device's generation
    Residual within_node;  // collectives of groups within a node, by its wiring
    Residual network;      // of groups that span nodes
    Residual host;         // issue by an eager framework
};

} // namespace zerosim::cluster
