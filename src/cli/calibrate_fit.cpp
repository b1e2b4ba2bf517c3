#include "cli/calibrate_fit.hpp"

#include "base/error.hpp"

#include <algorithm>

namespace zerosim::cli {
namespace {

using cluster::Cluster;

/// The median, or the 10th percentile where the median is far above it: something else had the cores for half of the samples.
double undisturbed_seconds(const KernelSample& sample) {
    constexpr double kFarAbove = 1.5;
    return sample.low_seconds > 0 && sample.seconds > kFarAbove * sample.low_seconds ? sample.low_seconds : sample.seconds;
}

/// Work of all samples of a resource over their time, per core: long kernels weigh more, as they do in a step.
double rate(const std::vector<KernelSample>& samples, Resource resource, double cores) {
    double work = 0, seconds = 0;
    for (const KernelSample& sample : samples)
        if (sample.resource == resource) {
            work += sample.work;
            seconds += undisturbed_seconds(sample);
        }
    check(seconds > 0, "no samples of a resource");
    return work / seconds / cores;
}

/// Of the GEMM rate, what attention's products reach beside its softmax, which the model charges apart.
double attention_efficiency(const std::vector<KernelSample>& samples, const cluster::DeviceSpec& device, double cores) {
    double matrix = 0, seconds = 0;
    for (const KernelSample& sample : samples)
        if (sample.resource == Resource::attention) {
            matrix += sample.work / device.fp32_flops;
            seconds += undisturbed_seconds(sample) * cores - sample.vector_work / device.vector_flops;
        }
    return seconds > matrix ? matrix / seconds : 1.0;
}

} // namespace

void fit_kernels(Cluster& cluster, const std::vector<KernelSample>& samples, int ranks) {
    const double cores = cluster::cores_per_rank(cluster, ranks);
    cluster::DeviceSpec& device = cluster.device;
    device.fp32_flops = rate(samples, Resource::gemm_fp32, cores);
    device.bf16_flops = rate(samples, Resource::gemm_bf16, cores);
    device.fp16_flops = rate(samples, Resource::gemm_fp16, cores);
    device.vector_flops = rate(samples, Resource::vector, cores);
    device.memory_bytes_per_second = rate(samples, Resource::memory, cores);
    device.attention_efficiency = attention_efficiency(samples, device, cores);
    device.gemm_efficiency = device.memory_efficiency = 1.0; // these are rates, not peaks
    for (const KernelSample& sample : samples)
        if (sample.resource == Resource::overhead) device.kernel_launch_seconds = sample.seconds * std::min(1.0, cores);
}

} // namespace zerosim::cli
