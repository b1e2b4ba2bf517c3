// From measurements to a Cluster: rates per core, and the links' latency and bandwidth by least squares.
// Called by `calibrate`; pure, so tests can give it times of known origin.
// Does not measure.
#pragma once

#include "cli/calibrate/calibrate_kernels.hpp"
#include "cli/collectives/collective_benchmark.hpp"
#include "cluster/cluster.hpp"

#include <vector>

namespace zerosim::cli {

/// Sets the device's rates per core (cluster::cores_per_rank), from kernels measured on `ranks` ranks at once.
void fit_kernels(cluster::Cluster& cluster, const std::vector<KernelSample>& samples, int ranks);

/// How well the links are known.
struct LinkFit {
    struct Range {
        double low = 0, high = 0; // of the values found with any one of the samples left out (jackknife)
    };
    Range latency, rendezvous, seconds_a_byte, uncached_seconds_a_byte, reduction_seconds_a_byte;
    double median_error = 0, worst_error = 0; // |model / measured - 1| of the samples
};

/// Sets latency, rendezvous and bandwidth (in cache and beyond) of the node's links and the reduction rate: those that make
/// cost::collective_seconds nearest to the measured times by ratio (half is as wrong as double), none negative. Needs two ranks.
/// `cache_bytes`: last-level cache of the cores at work; 0 = unknown.
LinkFit fit_collectives(cluster::Cluster& cluster, const std::vector<CollectiveSample>& samples, int ranks, std::int64_t cache_bytes);

/// Model over measured, of a sample.
[[nodiscard]] double predicted_ratio(const cluster::Cluster& cluster, const CollectiveSample& sample, int ranks);

} // namespace zerosim::cli
