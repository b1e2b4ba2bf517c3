#include "analysis/roofline.hpp"

#include "schedule/op_work.hpp"

#include <algorithm>
#include <array>
#include <functional>

namespace zerosim::analysis {
namespace {

struct ClassSum {
    RooflineRow row;
    double arithmetic = 0, memory = 0;   // seconds at the peaks
    std::int64_t host_before = 0;
};

double per(double work, double rate) { return rate > 0 ? work / rate : 0.0; }

double matrix_peak(const schedule::Program& program, const schedule::Op& op, const cluster::DeviceSpec& device) {
    const bool kernel = op.kind == schedule::OpKind::compute;
    if (kernel && program.attributes_of(op).fp8 && device.fp8_flops > 0) return device.fp8_flops;
    switch (schedule::compute_dtype(program, op)) {
        case DType::bf16: return device.bf16_flops;
        case DType::fp16: return device.fp16_flops;
        default: return device.fp32_flops;
    }
}

/// A GPU's other units have a peak of their own; on a CPU's core the same units do products and everything else.
double vector_peak(const cluster::DeviceSpec& device) { return device.is_cpu ? std::max(device.fp32_flops, device.vector_flops) : device.vector_flops; }

/// Of operands that a CPU core's own cache holds, that cache's.
double memory_peak(const cluster::DeviceSpec& device, double bytes) {
    const cluster::HostKernels& host = device.host_kernels;
    return bytes <= static_cast<double>(host.cache_bytes) ? std::max(host.cached_bytes_per_second, device.memory_bytes_per_second) : device.memory_bytes_per_second;
}

/// What torch.compile leaves of an element-wise op's bytes: fused with its neighbours, it does not pass them through memory (as in cost/).
double share_left(const schedule::Op& op, std::size_t kind, const cluster::Software& software) {
    // Of a framework's own element-wise ops those in blocks are compiled.
    const bool fused = op.kind == schedule::OpKind::compute && (op.kernel != kernel::Kernel::elementwise || op.tags.layer >= 0);
    return software.compiled && fused && work_class_name(kind) == std::string_view("elementwise") ? software.compiled_traffic : 1.0;
}

void add_op(ClassSum& sum, const schedule::Program& program, const schedule::Op& op, const cluster::DeviceSpec& device, double cores, double share) {
    kernel::Work work = schedule::op_work(program, op);
    work.bytes *= share;
    const double matrix = per(work.matrix_flops, matrix_peak(program, op, device) * cores);
    const double vector = per(work.flops - work.matrix_flops, vector_peak(device) * cores);
    // A CPU's core does matrix and vector arithmetic one after the other; a GPU's tensor cores run beside the others (as in cost/).
    const double arithmetic = device.is_cpu ? matrix + vector : std::max(matrix, vector);
    const double memory = per(work.bytes, memory_peak(device, work.bytes) * cores);
    sum.row.count += 1;
    sum.row.flops += work.flops;
    sum.row.bytes += work.bytes;
    sum.row.roof_seconds += std::max(arithmetic, memory);
    sum.arithmetic += arithmetic;
    sum.memory += memory;
}

/// Between device, host and drives another roof stands; the host's own work has none here.
bool has_roof(std::size_t kind) { return kind < kWorkClasses && kind != kTransferClass && kind != kDriveClass && kind != kHostComputeClass; }

}  // namespace

std::vector<RooflineRow> roofline(const StepTimes& step, const Breakdown& breakdown, const cluster::Cluster& cluster, std::int64_t ranks) {
    std::array<ClassSum, kWorkClasses> sums{};
    const schedule::Program& program = *step.program;
    const double cores = cluster::cores_per_rank(cluster, ranks);
    for (const trace::OpTime& time : step.rows) {
        const schedule::Op& op = program.ops[time.op];
        const std::size_t kind = work_class(program, op);
        if (has_roof(kind) && program.streams[op.stream.index()].kind == schedule::StreamKind::compute)
            add_op(sums[kind], program, op, cluster.device, cores, share_left(op, kind, cluster.software));
    }
    for (const Wait& wait : breakdown.waits) {
        if (wait.cause.valid() || !wait.next.valid()) continue;
        if (const std::size_t kind = work_class(program, program.op(wait.next)); has_roof(kind)) sums[kind].host_before += wait.length;
    }
    std::vector<RooflineRow> rows;
    for (std::size_t kind = 0; kind < kWorkClasses; ++kind) {
        ClassSum& sum = sums[kind];
        if (breakdown.busy[kind] == 0 || sum.row.count == 0) continue;
        sum.row.name = work_class_name(kind);
        sum.row.seconds = static_cast<double>(breakdown.busy[kind]) * 1e-9;
        sum.row.bound = sum.host_before > breakdown.busy[kind] ? "host" : sum.arithmetic > sum.memory ? "compute" : "memory";
        rows.push_back(sum.row);
    }
    std::ranges::stable_sort(rows, std::greater{}, &RooflineRow::seconds);
    return rows;
}

double hardware_flops(const schedule::Program& program) {
    const auto [begin, end] = program.bounds(schedule::Segment::steady);
    double flops = 0;
    for (std::size_t i = begin; i < end; ++i) flops += schedule::op_work(program, program.ops[i]).matrix_flops;
    return flops;
}

}  // namespace zerosim::analysis
