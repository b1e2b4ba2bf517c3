#include "cli/calibrate/calibrate_fit.hpp"
#include "cli/calibrate/two_costs.hpp"

#include "base/error.hpp"
#include "cli/machine.hpp"

#include <algorithm>
#include <utility>

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

/// The rate of products, and what their operands cost beside it. fp16 takes the operands' cost of bf16: both are converted.
void fit_products(cluster::DeviceSpec& device, const std::vector<KernelSample>& samples, double cores) {
    const auto fit = [&](DType type, double& rate, cluster::Pace& pace) {
        TwoCosts costs;
        for (const KernelSample& sample : samples)
            if (sample.host && sample.host->kernel == cluster::HostKernel::product && sample.type == type) {
                const double seconds = undisturbed_seconds(sample) * cores;
                costs.add(sample.host->matrix_flops, sample.host->elements, seconds, seconds);
            }
        const auto [flop, element] = costs.solve();
        if (!(flop > 0)) return;
        rate = 1 / flop;
        pace = {element, 0};
    };
    fit(DType::fp32, device.fp32_flops, device.host_kernels.pace(cluster::HostKernel::product, false));
    fit(DType::bf16, device.bf16_flops, device.host_kernels.pace(cluster::HostKernel::product, true));
    for (const KernelSample& sample : samples)
        if (sample.host && sample.resource == Resource::gemm_fp16) {
            const double operands = sample.host->elements * device.host_kernels.pace(cluster::HostKernel::product, true).element_seconds;
            const double seconds = undisturbed_seconds(sample) * cores - operands;
            if (seconds > 0) device.fp16_flops = sample.host->matrix_flops / seconds;
        }
}

/// Elements and rows of every kernel, beside its products at the rate found before.
void fit_paces(cluster::DeviceSpec& device, const std::vector<KernelSample>& samples, double cores) {
    for (std::size_t i = 0; i < cluster::kHostKernels; ++i)
        for (const bool two_bytes : {false, true}) {
            const auto kernel = static_cast<cluster::HostKernel>(i);
            if (kernel == cluster::HostKernel::product) continue;
            TwoCosts costs;
            for (const KernelSample& sample : samples)
                if (sample.resource == Resource::pace && sample.host && sample.host->kernel == kernel && (size_of(sample.type) == 2) == two_bytes) {
                    const double seconds = undisturbed_seconds(sample) * cores;
                    const double products = sample.host->matrix_flops / (two_bytes ? device.bf16_flops : device.fp32_flops);
                    costs.add(sample.host->elements, sample.host->rows, seconds - products, seconds);
                }
            const auto [element, row] = costs.solve();
            device.host_kernels.pace(kernel, two_bytes) = {element, row};
        }
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
    fit_products(device, samples, cores);
    fit_paces(device, samples, cores);
    for (const KernelSample& sample : samples)
        if (sample.resource == Resource::cached_memory) {
            device.host_kernels.cache_bytes = own_cache();
            device.host_kernels.cached_bytes_per_second = sample.work / undisturbed_seconds(sample) / cores;
        }
    for (const KernelSample& sample : samples)
        if (sample.resource == Resource::overhead) device.kernel_launch_seconds = sample.seconds * std::min(1.0, cores);
}

} // namespace zerosim::cli
