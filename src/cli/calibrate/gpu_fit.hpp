// From measurements of GPUs to a Cluster in the keys of the presets: efficiencies of GEMM, attention and memory, launch and issue, links.
// Called by `calibrate --device cuda`; pure, so tests can give it times of known origin.
// Does not measure.
#pragma once

#include "cli/collectives/collective_benchmark.hpp"
#include "cli/calibrate/gpu_kernels.hpp"
#include "cluster/cluster.hpp"
#include "device/gpu_copies.hpp"

#include <vector>

namespace zerosim::cli {

struct GpuCopySample {
    device::CopyPath path{};
    int from = 0, to = 0;
    std::int64_t bytes = 0;
    Timing seconds;
    /// A copy within a device reads and writes.
    [[nodiscard]] double rate() const { return seconds.median > 0 ? static_cast<double>(bytes) * (path == device::CopyPath::within ? 2 : 1) / seconds.median : 0.0; }
};

struct GpuMeasurement {
    std::vector<GpuKernelSample> kernels;
    std::vector<GpuCopySample> copies;
    std::vector<CollectiveSample> collectives;   // none on one rank
    int ranks = 1;
    Timing tiny_kernel;                          // behind each other on the device: 16 elements
    double launch_seconds = 0;                   // host time of one launch
    double issue_seconds = 0, traced_issue_seconds = 0;   // the executor, a kernel with its allocation and release
    std::int64_t shrink = 1;                     // sizes were divided by it, for want of memory
    bool shared = false;                         // ranks share a GPU: links say nothing
};

/// How well the fitted cluster predicts what was measured: of each class of kernels, predicted over measured.
struct GpuFitQuality {
    double median_error = 0, worst_error = 0;    // |predicted / measured - 1| of the kernels that the fit used
    double collective_median_error = 0, collective_worst_error = 0;
};

/// Sets what was measured on `cluster`, a preset of such a GPU; what was not stays.
GpuFitQuality fit_gpu(cluster::Cluster& cluster, const GpuMeasurement& measured);

[[nodiscard]] double predicted_seconds(const cluster::Cluster& cluster, const GpuKernelSample& sample);

}  // namespace zerosim::cli
