#include "cli/calibrate/calibrate_text.hpp"

#include "base/units.hpp"
#include "cost/host_kernel_cost.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace zerosim::cli {
namespace {

std::string spread(double median, double low, double high) {
    return median > 0 ? fmt::format("{:+.0f}/{:+.0f}%", 100 * (low / median - 1), 100 * (high / median - 1)) : "-";
}

/// A value and the range that it takes with any one measurement left out.
std::string with_range(const std::string& value, const std::string& low, const std::string& high) {
    return low == high ? value : fmt::format("{} ({} to {})", value, low, high);
}

std::string seconds_range(double value, const LinkFit::Range& range) {
    return with_range(format_seconds(value), format_seconds(range.low), format_seconds(range.high));
}

std::string rate_range(double value, const LinkFit::Range& range) {
    if (!(range.low > 0)) return value > 0 ? format_rate(value) + ", hardly told apart from free" : "free";
    return with_range(format_rate(value), format_rate(1 / range.high), format_rate(1 / range.low));
}

/// Cores that are moved between caches, or other work on them.
constexpr double kUnsteady = 1.3;

std::string link_table(const cluster::Cluster& c, const LinkFit& fit, const SteadyLinks& links) {
    std::string text = fmt::format("link {} a message", seconds_range(c.intra_node.latency_seconds, fit.latency));
    if (c.transport.eager_bytes > 0)
        text += fmt::format(", and {} above {} B", seconds_range(c.transport.rendezvous_seconds, fit.rendezvous), c.transport.eager_bytes);
    text += fmt::format("\nlink {}", rate_range(c.intra_node.bytes_per_second, fit.seconds_a_byte));
    if (c.transport.cache_bytes > 0)
        text += fmt::format(" within {} of cache, {} beyond", format_bytes(c.transport.cache_bytes),
                            format_rate(c.transport.uncached_bytes_per_second));
    if (c.transport.one_way_bytes_per_second > 0) text += fmt::format("; one way {}", format_rate(c.transport.one_way_bytes_per_second));
    text += fmt::format("; reduction {}\n", rate_range(c.reduction_bytes_per_second, fit.reduction_seconds_a_byte));
    const auto within = [](double rate, double latency) {
        return fmt::format("link {}, {} more a message", rate > 0 ? format_rate(rate) : "as alone", format_seconds(latency));
    };
    text += fmt::format("within a step: {} out of a core's own cache; {} out of all caches\n",
                        within(c.transport.shared_bytes_per_second, c.transport.shared_latency_seconds),
                        within(c.transport.cold_bytes_per_second, c.transport.cold_latency_seconds));
    text += fmt::format("within a step: {} a hand-over to the communication thread and back; reduction of bf16 {}\n", format_seconds(c.collective_launch_seconds),
                        c.transport.narrow_reduction_bytes_per_second > 0 ? format_rate(c.transport.narrow_reduction_bytes_per_second) : "as of fp32");
    text += fmt::format("in brackets: the range with any one time left out; error of the fit of warm fp32 times, broadcasts aside: median {:.0f}%, worst {:.0f}%\n",
                        100 * fit.median_error, 100 * fit.worst_error);
    text += fmt::format("a reference beside every time took {:.2f} to {:.2f} of its median (10th and 90th percentile); of {} rounds those near it count", links.fastest,
                        links.slowest, kRounds);
    if (links.unsteady > 0) text += fmt::format("; {} of {} times were never measured near it", links.unsteady, links.samples.size());
    return text + (links.slowest > kUnsteady * links.fastest ? "\nsomething moves the cores or shares them, and predictions are as unsteady\n" : "\n");
}

std::string_view mark(const CollectiveSample& sample) {
    return sample.cold() ? " *" : sample.warm() ? "" : " +";
}

/// "0.85 to 1.20, median 1.01"
std::string pace_errors(const Measurement& measurement, const cluster::Cluster& cluster) {
    std::vector<double> ratios;
    for (const KernelSample& s : measurement.kernels)
        if (s.host && s.seconds > 0)
            if (const auto seconds = cost::host_seconds(*s.host, s.type, cluster.device))
                ratios.push_back(*seconds / cluster::cores_per_rank(cluster, measurement.ranks) / s.seconds);
    if (ratios.empty()) return "-";
    return fmt::format("{:.2f} to {:.2f} (10th and 90th percentile), median {:.2f}", percentile(ratios, 0.1), percentile(ratios, 0.9), percentile(ratios, 0.5));
}

} // namespace

std::string kernel_table(const Measurement& measurement) {
    std::string text =
        fmt::format("# kernels of one rank, {} ranks at once, {} thread{} each; spread: 10th and 90th percentile of the time\n",
                    measurement.ranks, measurement.threads, measurement.threads == 1 ? "" : "s");
    text += fmt::format("{:<44} {:>10} {:>16} {:>12}\n", "kernel", "time", "rate", "spread");
    for (const KernelSample& s : measurement.kernels) {
        const std::string rate = s.work == 0                      ? "-"
                                 : s.resource == Resource::memory || s.resource == Resource::cached_memory ? format_rate(s.work / s.seconds)
                                                                  : format_flops(s.work / s.seconds);
        text += fmt::format("{:<44} {:>10} {:>16} {:>12}\n", s.what, format_seconds(s.seconds), rate,
                            spread(s.seconds, s.low_seconds, s.high_seconds));
    }
    return text;
}

std::string collective_table(const Measurement& measurement, const cluster::Cluster& cluster) {
    if (measurement.links.samples.empty()) return "\n# one rank: links were not measured; start 2 or more (mpirun, or --ranks)\n";
    std::string text = fmt::format("\n# collectives of {} {}; after other work, as within a step: + more than a core's own cache holds, * more than any\n{:<21} {:>10} {:>10} {:>14} {:>12} {:>14}\n", measurement.ranks,
                                   measurement.transport, "kind", "bytes", "time", "busbw", "spread", "model/measured");
    for (const CollectiveSample& s : measurement.links.samples)
        text += fmt::format("{:<21} {:>10} {:>10} {:>14} {:>12} {:>14.2f}\n", fmt::format("{}{}{}", name(s.kind), s.type == DType::fp32 ? "" : " bf16", mark(s)), s.bytes, format_seconds(s.seconds),
                            format_rate(s.busbw(measurement.ranks)), spread(s.seconds, s.low_seconds, s.high_seconds),
                            predicted_ratio(cluster, s, measurement.ranks));
    return text;
}

std::string fit_table(const Measurement& measurement, const Fitted& fit) {
    const cluster::Cluster& c = fit.cluster;
    std::string text =
        fmt::format("\n# cluster 'local': {} cores; rates of one core; the best of {} rounds, {} samples each time\n", c.cores, kRounds,
                    measurement.samples);
    text += fmt::format("GEMM fp32 {}, bf16 {}, fp16 {}; attention {:.2f} of it\n", format_flops(c.device.fp32_flops),
                        format_flops(c.device.bf16_flops), format_flops(c.device.fp16_flops), c.device.attention_efficiency);
    text += fmt::format("vector {}, memory {}, {} a kernel, {} to issue one\n", format_flops(c.device.vector_flops),
                        format_rate(c.device.memory_bytes_per_second), format_seconds(c.device.kernel_launch_seconds),
                        format_seconds(c.device.host_issue_seconds));
    text += fmt::format("within {} of a core's own cache {}; paces of {} kernels by shape, model/measured {}\n",
                        format_bytes(c.device.host_kernels.cache_bytes), format_rate(c.device.host_kernels.cached_bytes_per_second),
                        cluster::kHostKernels, pace_errors(measurement, c));
    return measurement.links.samples.empty() ? text : text + link_table(c, fit.links, measurement.links);
}

std::string json_text(const Measurement& measurement, const Fitted& fit, const std::string& file) {
    const cluster::Cluster& cluster = fit.cluster;
    using nlohmann::ordered_json;
    ordered_json kernels = ordered_json::array(), collectives = ordered_json::array();
    for (const KernelSample& s : measurement.kernels)
        kernels.push_back({{"kernel", s.what},
                           {"seconds", s.seconds},
                           {"low_seconds", s.low_seconds},
                           {"high_seconds", s.high_seconds},
                           {s.resource == Resource::memory || s.resource == Resource::cached_memory ? "bytes_per_second" : "flops_per_second", s.work / s.seconds}});
    for (const CollectiveSample& s : measurement.links.samples)
        collectives.push_back({{"kind", name(s.kind)},
                               {"bytes", s.bytes},
                               {"seconds", s.seconds},
                               {"low_seconds", s.low_seconds},
                               {"high_seconds", s.high_seconds},
                               {"cold", s.cold()},
                               {"shared_cache", !s.warm() && !s.cold()},
                               {"type", name(s.type)},
                               {"model_over_measured", predicted_ratio(cluster, s, measurement.ranks)}});
    return ordered_json{{"schema_version", 1},
                        {"ranks", measurement.ranks},
                        {"threads", measurement.threads},
                        {"cores", cluster.cores},
                        {"transport", measurement.transport},
                        {"samples", measurement.samples},
                        {"issue_seconds", measurement.issue_seconds},
                        {"fit", {{"median_error", fit.links.median_error}, {"worst_error", fit.links.worst_error},
                                  {"reference_seconds", measurement.links.reference_seconds},
                                  {"reference_fastest", measurement.links.fastest}, {"reference_slowest", measurement.links.slowest},
                                  {"unsteady_samples", measurement.links.unsteady}}},
                        {"kernels", kernels},
                        {"collectives", collectives},
                        {"file", file}}
               .dump(2) +
           "\n";
}

} // namespace zerosim::cli
