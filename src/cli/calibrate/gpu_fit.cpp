#include "cli/calibrate/gpu_fit.hpp"

#include "cost/cost.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

namespace zerosim::cli {
namespace {

using cluster::Cluster;
using kernel::Kernel;
using kernel::KernelClass;

/// Mean of log(predicted / measured), each sample weighted by its time: long kernels weigh more, as they do in a step.
template <class Sample, class Predict, class Seconds>
double log_ratio(const std::vector<Sample>& samples, const Predict& predict, const Seconds& seconds) {
    double sum = 0, weights = 0;
    for (const Sample& sample : samples) {
        sum += seconds(sample) * std::log(predict(sample) / seconds(sample));
        weights += seconds(sample);
    }
    return weights > 0 ? sum / weights : 0.0;
}

/// Scales one number of the model until its times meet the measured ones on average. Times fall as the number grows, but not always in
/// proportion (another bound may take over), so in steps.
void scale_until_met(double& value, double most, const std::function<double()>& log_predicted_over_measured) {
    constexpr int kSteps = 40;
    constexpr double kClose = 1e-6, kLeast = 1e-4;
    for (int i = 0; i < kSteps; ++i) {
        const double off = log_predicted_over_measured();
        if (std::abs(off) < kClose) return;
        value = std::clamp(value * std::exp(off), kLeast * most, most);
    }
}

class KernelFit {
public:
    KernelFit(Cluster& cluster, const std::vector<GpuKernelSample>& samples) : cluster_(cluster), samples_(samples) {}

    [[nodiscard]] std::vector<GpuKernelSample> select(const std::function<bool(const GpuKernelSample&)>& wanted) const {
        std::vector<GpuKernelSample> chosen;
        for (const GpuKernelSample& s : samples_)
            if (s.kernel.fits && s.seconds.median > 0 && wanted(s)) chosen.push_back(s);
        return chosen;
    }
    /// `peak` may be raised where an efficiency of 1 is not enough.
    void efficiency(double& value, double* peak, const std::vector<GpuKernelSample>& samples) {
        if (samples.empty()) return;
        const auto off = [&] { return log_ratio(samples, [&](const auto& s) { return predicted_seconds(cluster_, s); }, [](const auto& s) { return s.seconds.median; }); };
        scale_until_met(value, 1.0, off);
        if (peak != nullptr && value >= 1.0 && off() > 0) scale_until_met(*peak, 1e3 * *peak, off);
    }
    void rate(double& value, const std::vector<GpuKernelSample>& samples) {
        if (samples.empty()) return;
        scale_until_met(value, 1e3 * value, [&] { return log_ratio(samples, [&](const auto& s) { return predicted_seconds(cluster_, s); }, [](const auto& s) { return s.seconds.median; }); });
    }

private:
    Cluster& cluster_;
    const std::vector<GpuKernelSample>& samples_;
};

void fit_kernels(Cluster& cluster, const GpuMeasurement& measured) {
    cluster::DeviceSpec& device = cluster.device;
    if (measured.tiny_kernel.median > 0) device.kernel_launch_seconds = measured.tiny_kernel.median;
    if (measured.issue_seconds > 0) device.host_issue_seconds = measured.issue_seconds;
    KernelFit fit(cluster, measured.kernels);
    const auto of_class = [](KernelClass wanted, DType type) {
        return [wanted, type](const GpuKernelSample& s) { return kernel::kernel_class(s.kernel.kernel) == wanted && s.kernel.type == type; };
    };
    // Memory first: it bounds kernels of every class from below.
    fit.efficiency(device.memory_efficiency, nullptr, fit.select([](const GpuKernelSample& s) { return s.work.matrix_flops == 0; }));
    fit.efficiency(device.gemm_efficiency, &device.bf16_flops, fit.select(of_class(KernelClass::gemm, DType::bf16)));
    fit.rate(device.fp16_flops, fit.select(of_class(KernelClass::gemm, DType::fp16)));
    fit.rate(device.fp32_flops, fit.select(of_class(KernelClass::gemm, DType::fp32)));
    fit.efficiency(device.attention_efficiency, nullptr, fit.select([](const GpuKernelSample& s) { return s.kernel.kernel == Kernel::attention_forward; }));
    if (device.attention.backward_efficiency > 0)   // else it is as forward
        fit.efficiency(device.attention.backward_efficiency, nullptr, fit.select([](const GpuKernelSample& s) { return s.kernel.kernel == Kernel::attention_backward; }));
}

/// Pinned copies: latency from the smallest, bandwidth from the largest, the slower direction.
void fit_host_link(Cluster& cluster, const std::vector<GpuCopySample>& copies) {
    double rate = 0, latency = 0;
    for (const device::CopyPath path : {device::CopyPath::pinned_to_device, device::CopyPath::pinned_from_device}) {
        const GpuCopySample *smallest = nullptr, *largest = nullptr;
        for (const GpuCopySample& copy : copies) {
            if (copy.path != path || !(copy.seconds.median > 0)) continue;
            if (smallest == nullptr || copy.bytes < smallest->bytes) smallest = &copy;
            if (largest == nullptr || copy.bytes > largest->bytes) largest = &copy;
        }
        if (largest == nullptr || largest->bytes <= smallest->bytes) continue;
        const double seconds_a_byte = (largest->seconds.median - smallest->seconds.median) / static_cast<double>(largest->bytes - smallest->bytes);
        if (!(seconds_a_byte > 0)) continue;
        rate = rate > 0 ? std::min(rate, 1 / seconds_a_byte) : 1 / seconds_a_byte;
        latency = std::max(latency, smallest->seconds.median - seconds_a_byte * static_cast<double>(smallest->bytes));
    }
    if (rate > 0) cluster.host_link = {std::max(0.0, latency), rate, 1.0};
}

double collective_ratio(const Cluster& cluster, const CollectiveSample& sample, int ranks) {
    return cost::collective_seconds(sample.kind, sample.bytes, ranks, 1, cluster, ranks) / sample.seconds;
}

/// Latency by the small messages, efficiency of the links by the large ones, in turn.
void fit_links(Cluster& cluster, const GpuMeasurement& measured) {
    constexpr std::int64_t kSmall = 64 << 10, kLarge = 16 << 20;
    constexpr int kTurns = 6;
    std::vector<CollectiveSample> small, large;
    for (const CollectiveSample& s : measured.collectives) {
        if (!(s.seconds > 0)) continue;
        if (s.bytes <= kSmall) small.push_back(s);
        if (s.bytes >= kLarge) large.push_back(s);
    }
    const auto off = [&](const std::vector<CollectiveSample>& samples) {
        double sum = 0;
        for (const CollectiveSample& s : samples) sum += std::log(collective_ratio(cluster, s, measured.ranks));
        return samples.empty() ? 0.0 : sum / static_cast<double>(samples.size());
    };
    for (int turn = 0; turn < kTurns; ++turn) {
        const double latency = std::exp(-off(small));
        cluster.intra_node.latency_seconds *= latency;
        cluster.collective_launch_seconds *= latency;
        scale_until_met(cluster.intra_node.efficiency, 1.0, [&] { return off(large); });
        if (cluster.intra_node.efficiency >= 1.0 && off(large) > 0)
            scale_until_met(cluster.intra_node.bytes_per_second, 1e3 * cluster.intra_node.bytes_per_second, [&] { return off(large); });
    }
}

}  // namespace

double predicted_seconds(const Cluster& cluster, const GpuKernelSample& sample) {
    return cost::kernel_seconds(sample.kernel.kernel, sample.kernel.attributes, sample.kernel.type, cluster.device);
}

GpuFitQuality fit_gpu(Cluster& cluster, const GpuMeasurement& measured) {
    cluster.measured = true;
    fit_kernels(cluster, measured);
    fit_host_link(cluster, measured.copies);
    const bool links = measured.ranks > 1 && !measured.shared && !measured.collectives.empty();
    if (links) fit_links(cluster, measured);
    GpuFitQuality quality;
    std::vector<double> errors, collective_errors;
    for (const GpuKernelSample& s : measured.kernels)
        if (s.kernel.fits && s.seconds.median > 0) errors.push_back(std::abs(predicted_seconds(cluster, s) / s.seconds.median - 1));
    if (links)
        for (const CollectiveSample& s : measured.collectives) collective_errors.push_back(std::abs(collective_ratio(cluster, s, measured.ranks) - 1));
    quality.median_error = percentile(errors, 0.5);
    quality.worst_error = percentile(errors, 1.0);
    quality.collective_median_error = percentile(collective_errors, 0.5);
    quality.collective_worst_error = percentile(collective_errors, 1.0);
    return quality;
}

}  // namespace zerosim::cli
