#include "cli/calibrate/gpu_calibrate_text.hpp"

#include "base/units.hpp"
#include "comm/gpu_world.hpp"
#include "cost/cost.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace zerosim::cli {
namespace {

using nlohmann::ordered_json;

std::string spread(const Timing& t) { return t.median > 0 ? fmt::format("{:+.0f}/{:+.0f}%", 100 * (t.low / t.median - 1), 100 * (t.high / t.median - 1)) : "-"; }

/// What bounds it: products by their arithmetic, the others by their traffic.
std::string rate_of(const GpuKernelSample& s) { return s.work.matrix_flops > 0 ? format_flops(s.flops_rate()) : format_rate(s.bytes_rate()); }

double copy_bandwidth(const GpuMeasurement& measured) {
    for (const GpuCopySample& copy : measured.copies)
        if (copy.path == device::CopyPath::within) return copy.rate();
    return 0;
}

std::string kernel_table(const GpuCalibrationText& text, const GpuMeasurement& measured, const cluster::Cluster& cluster) {
    std::string table = fmt::format("{:<66} {:>10} {:>16} {:>10} {:>12} {:>15}\n", "kernel", "time", "rate", "of roof", "spread", "model/measured");
    const double copy = copy_bandwidth(measured);
    for (const GpuKernelSample& s : measured.kernels) {
        const double share = share_of_roof(s, text.preset, copy);
        table += fmt::format("{:<66} {:>10} {:>16} {:>10} {:>12} {:>15.2f}\n", s.kernel.what, format_seconds(s.seconds.median), rate_of(s), share > 0 ? fmt::format("{:.0f}%", 100 * share) : "",
                             spread(s.seconds), predicted_seconds(cluster, s) / s.seconds.median);
    }
    return table + "roof: the preset's peak of the dtype for products and attention, the copy below for the others\n";
}

std::string copy_table(const GpuMeasurement& measured) {
    std::string text = fmt::format("\n{:<24} {:>7} {:>12} {:>10} {:>16} {:>12}\n", "copy", "GPUs", "bytes", "time", "rate", "spread");
    for (const GpuCopySample& c : measured.copies)
        text += fmt::format("{:<24} {:>7} {:>12} {:>10} {:>16} {:>12}\n", name(c.path), c.path == device::CopyPath::between ? fmt::format("{} > {}", c.from, c.to) : fmt::to_string(c.from),
                            c.bytes, format_seconds(c.seconds.median), format_rate(c.rate()), spread(c.seconds));
    return text;
}

std::string link_table(const GpuMeasurement& measured, const cluster::Cluster& cluster) {
    if (measured.collectives.empty()) return "\none rank: links were not measured; start as many as there are GPUs (mpirun -np)\n";
    std::string text = fmt::format("\n{:<16} {:>12} {:>10} {:>16} {:>12} {:>15}\n", "collective", "bytes", "time", "busbw", "spread", "model/measured");
    for (const CollectiveSample& s : measured.collectives)
        text += fmt::format("{:<16} {:>12} {:>10} {:>16} {:>12} {:>15.2f}\n", name(s.kind), s.bytes, format_seconds(s.seconds), format_rate(s.busbw(measured.ranks)),
                            spread({s.seconds, s.low_seconds, s.high_seconds}), cost::collective_seconds(s.kind, s.bytes, measured.ranks, 1, cluster, measured.ranks) / s.seconds);
    return measured.shared ? text + "ranks share a GPU: the links of the file are the preset's\n" : text;
}

/// "; sizes divided by 4: the GPU had no room for more"
std::string shrink_text(const GpuMeasurement& measured) { return measured.shrink > 1 ? fmt::format("; sizes divided by {}: the GPU had no room for more", measured.shrink) : ""; }

std::string fit_text(const GpuCalibrationText& text, const GpuMeasurement& measured, const cluster::Cluster& c, const GpuFitQuality& quality) {
    std::string lines = fmt::format("\n# cluster '{}': {} where nothing was measured\n", c.name, text.base);
    lines += fmt::format("GEMM {:.3f} of {}, fp32 {}; attention {:.3f}, backward {:.3f}; memory {:.3f} of {}\n", c.device.gemm_efficiency, format_flops(c.device.bf16_flops),
                         format_flops(c.device.fp32_flops * c.device.gemm_efficiency), c.device.attention_efficiency, c.device.attention.backward_efficiency,
                         c.device.memory_efficiency, format_rate(c.device.memory_bytes_per_second));
    lines += fmt::format("{} a kernel on the device; the host: {} to launch one, {} an op of the executor, {} with trace\n", format_seconds(measured.tiny_kernel.median),
                         format_seconds(measured.launch_seconds), format_seconds(measured.issue_seconds), format_seconds(measured.traced_issue_seconds));
    lines += fmt::format("host link {}, {}; error of the fit: kernels median {:.0f}%, worst {:.0f}%", format_rate(c.host_link.bytes_per_second), format_seconds(c.host_link.latency_seconds),
                         100 * quality.median_error, 100 * quality.worst_error);
    if (measured.collectives.empty() || measured.shared) return lines + "\n";
    return lines + fmt::format("; collectives {:.0f}%, {:.0f}%\nlink {}, {} a message\n", 100 * quality.collective_median_error, 100 * quality.collective_worst_error,
                               format_rate(c.intra_node.achieved_bytes_per_second()), format_seconds(c.intra_node.latency_seconds));
}

}  // namespace

double share_of_roof(const GpuKernelSample& s, const cluster::DeviceSpec& preset, double copy_bytes_per_second) {
    if (!(s.work.matrix_flops > 0)) return copy_bytes_per_second > 0 ? s.bytes_rate() / copy_bytes_per_second : 0.0;
    const double peak = s.kernel.type == DType::fp32 ? preset.fp32_flops : s.kernel.type == DType::fp16 ? preset.fp16_flops : preset.bf16_flops;
    return peak > 0 ? s.flops_rate() / peak : 0.0;
}

std::string calibration_table(const GpuCalibrationText& text, const GpuMeasurement& measured, const cluster::Cluster& cluster, const GpuFitQuality& quality) {
    return fmt::format("# {} x {}, CUDA {}, NCCL {}; median of {} batches, the slowest rank; spread: 10th and 90th percentile of the time{}\n", measured.ranks, text.gpu.name,
                       device::cuda_versions(), comm::nccl_version_text(), text.batches, shrink_text(measured)) +
           kernel_table(text, measured, cluster) + copy_table(measured) + link_table(measured, cluster) + fit_text(text, measured, cluster, quality) +
           fmt::format("fp8 is not measured: no kernel of the executor has it\nstored in {}\n", text.file);
}

std::string calibration_json(const GpuCalibrationText& text, const GpuMeasurement& measured, const cluster::Cluster& cluster, const GpuFitQuality& quality) {
    ordered_json kernels = ordered_json::array(), copies = ordered_json::array(), collectives = ordered_json::array();
    const double copy = copy_bandwidth(measured);
    for (const GpuKernelSample& s : measured.kernels) {
        ordered_json row{{"kernel", s.kernel.what}, {"seconds", s.seconds.median}, {"low_seconds", s.seconds.low}, {"high_seconds", s.seconds.high}};
        if (s.work.matrix_flops > 0) row["flops_per_second"] = s.flops_rate();
        else row["bytes_per_second"] = s.bytes_rate();
        if (s.work.matrix_flops == 0 && copy > 0) row["share_of_copy_bandwidth"] = s.bytes_rate() / copy;
        row["class"] = kernel::name(kernel::kernel_class(s.kernel.kernel));
        row["share_of_roof"] = share_of_roof(s, text.preset, copy);
        row["model_over_measured"] = predicted_seconds(cluster, s) / s.seconds.median;
        kernels.push_back(std::move(row));
    }
    for (const GpuCopySample& c : measured.copies)
        copies.push_back({{"path", name(c.path)}, {"from", c.from}, {"to", c.to}, {"bytes", c.bytes}, {"seconds", c.seconds.median}, {"bytes_per_second", c.rate()}});
    for (const CollectiveSample& s : measured.collectives)
        collectives.push_back({{"kind", name(s.kind)}, {"bytes", s.bytes}, {"seconds", s.seconds}, {"busbw_bytes_per_second", s.busbw(measured.ranks)},
                               {"model_over_measured", cost::collective_seconds(s.kind, s.bytes, measured.ranks, 1, cluster, measured.ranks) / s.seconds}});
    return ordered_json{{"schema_version", 1},
                        {"device", text.gpu.name},
                        {"date", text.date},
                        {"cuda", device::cuda_versions()},
                        {"nccl", comm::nccl_version_text()},
                        {"ranks", measured.ranks},
                        {"base", text.base},
                        {"shrink", measured.shrink},
                        {"copy_bytes_per_second", copy},
                        {"kernel_launch_seconds", measured.tiny_kernel.median},
                        {"host_launch_seconds", measured.launch_seconds},
                        {"issue_seconds", measured.issue_seconds},
                        {"traced_issue_seconds", measured.traced_issue_seconds},
                        {"fit", {{"median_error", quality.median_error}, {"worst_error", quality.worst_error}, {"collective_median_error", quality.collective_median_error},
                                 {"collective_worst_error", quality.collective_worst_error}}},
                        {"kernels", kernels},
                        {"copies", copies},
                        {"collectives", collectives},
                        {"file", text.file}}
               .dump(2) +
           "\n";
}

std::string provenance(const GpuCalibrationText& text, const GpuMeasurement& measured, const GpuFitQuality& quality) {
    std::string lines = fmt::format("Written by zerosim calibrate --device cuda on {}: {} x {}, CUDA {}, NCCL {}; medians of {} batches{}.\n", text.date, measured.ranks, text.gpu.name,
                                    device::cuda_versions(), comm::nccl_version_text(), text.batches, shrink_text(measured));
    lines += fmt::format("Measured: efficiencies, fp16 and fp32 rates, launch and issue, host link{}; the rest is {}'s.\n",
                         measured.ranks > 1 && !measured.shared ? ", links of the node" : "", text.base);
    return lines + fmt::format("Predicted kernels are off by {:.0f} % (median) and {:.0f} % (worst).", 100 * quality.median_error, 100 * quality.worst_error);
}

}  // namespace zerosim::cli
