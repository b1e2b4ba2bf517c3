#include "base/error.hpp"
#include "cost/cost.hpp"
#include "cost/host_cost.hpp"
#include "cost/host_kernel_cost.hpp"
#include "cost/optimizer_cost.hpp"
#include "cost/slowest_device.hpp"
#include "schedule/op_work.hpp"

#include <algorithm>
#include <array>

namespace zerosim::cost {
namespace {

using schedule::Op;
using schedule::OpKind;
using schedule::Program;
using schedule::Space;
using schedule::Tensor;

Space space_of(const Program& program, TensorId id) { return program.storage(program.tensor(id).storage).space; }

double memory_seconds(double bytes, const cluster::Cluster& cluster, double cores) {
    const cluster::DeviceSpec& device = cluster.device;
    if (device.is_cpu) return device.kernel_launch_seconds + bytes / (host_streaming_rate(bytes, device) * cores);
    const double efficiency = cluster.software.memory.copy > 0 ? cluster.software.memory.copy : device.memory_efficiency;
    return device.kernel_launch_seconds + bytes / (device.memory_bytes_per_second * efficiency * cores);
}

/// Source read, destination written (and read, when added into); what is not on the device crosses links that ranks share.
double copy_seconds(const Program& program, const Op& op, const cluster::Cluster& cluster, double cores, std::int64_t ranks) {
    constexpr std::size_t kSpaces = static_cast<std::size_t>(Space::nvme) + 1;
    double local = 0;
    std::array<double, kSpaces * kSpaces> crossing{};
    const bool one_memory = cluster.host_link.achieved_bytes_per_second() <= 0;
    const auto operands = program.operands_of(op);
    for (std::size_t i = 0; i + 1 < operands.size(); i += 2) {
        const double source = schedule::bytes_of(program, operands[i]), destination = schedule::bytes_of(program, operands[i + 1]);
        const Space from = space_of(program, operands[i]), to = space_of(program, operands[i + 1]);
        const bool drives = from == Space::nvme || to == Space::nvme;
        if ((from == Space::device && to == Space::device) || (one_memory && !drives))
            local += source + destination * (op.accumulate ? 2 : 1);
        else
            crossing[static_cast<std::size_t>(from) * kSpaces + static_cast<std::size_t>(to)] += std::min(source, destination); // a cast happens on the wider side
    }
    double seconds = 0;
    for (std::size_t i = 0; i < crossing.size(); ++i)
        if (crossing[i] > 0) seconds += crossing_seconds(crossing[i], static_cast<Space>(i / kSpaces), static_cast<Space>(i % kSpaces), cluster, ranks);
    if (local > 0 || seconds == 0) seconds += memory_seconds(local, cluster, cores);
    return seconds;
}

/// A framework's element-wise kernel: operands read or written once, each in its own dtype and shape.
double elementwise_seconds(const Program& program, const Op& op, const cluster::Cluster& cluster, double cores) {
    double bytes = schedule::operand_bytes(program, op);
    const cluster::Software& software = cluster.software;
    if (cluster.device.is_cpu) {
        const std::optional<HostWork> work = host_work(op.kernel, program.attributes_of(op));
        const double arithmetic = work ? host_seconds(*work, schedule::compute_dtype(program, op), cluster.device).value_or(0.0) : 0.0;
        return std::max(memory_seconds(bytes, cluster, cores), cluster.device.kernel_launch_seconds + arithmetic / cores);
    }
    if (software.compiled && op.tags.layer >= 0) bytes *= software.compiled_traffic;
    const double efficiency = software.memory.elementwise > 0 ? software.memory.elementwise : cluster.device.memory_efficiency;
    return cluster.device.kernel_launch_seconds + bytes / (cluster.device.memory_bytes_per_second * efficiency * cores);
}

/// fill, initialize: every destination written once.
double write_seconds(const Program& program, const Op& op, const cluster::Cluster& cluster, double cores) {
    double bytes = schedule::operand_bytes(program, op);
    return memory_seconds(bytes, cluster, cores);
}

/// Tokens come from host memory.
double input_seconds(const Program& program, const Op& op, const cluster::Cluster& cluster, double cores, std::int64_t ranks) {
    double bytes = schedule::operand_bytes(program, op);
    if (cluster.host_link.achieved_bytes_per_second() <= 0) return memory_seconds(bytes, cluster, cores);
    return crossing_seconds(bytes, Space::pinned, Space::device, cluster, ranks);
}

} // namespace

double op_seconds(const schedule::Schedule& schedule, const Program& program, const Op& op, const cluster::Cluster& cluster, Coldness coldness) {
    const double cores = cluster::cores_per_rank(cluster, schedule.ranks) / slowest_device_factor(cluster, schedule.ranks);
    switch (op.kind) {
        case OpKind::alloc:
        case OpKind::free:
        case OpKind::host_wait:
        case OpKind::mark: return 0.0;
        case OpKind::fill:
        case OpKind::initialize: return write_seconds(program, op, cluster, cores);
        case OpKind::copy: return copy_seconds(program, op, cluster, cores, schedule.ranks);
        case OpKind::input: return input_seconds(program, op, cluster, cores, schedule.ranks);
        case OpKind::compute:
            if (op.kernel == kernel::Kernel::elementwise) return elementwise_seconds(program, op, cluster, cores);
            [[fallthrough]];
        case OpKind::optimizer:
            if (is_update_of_tensors(op, cluster)) return update_seconds(program, op, cluster, cores);
            return kernel_seconds(op.kernel, program.attributes_of(op), schedule::compute_dtype(program, op), cluster.device, cores,
                                  cluster.software);
        case OpKind::collective: {
            const schedule::Collective& collective = program.collective_of(op);
            const schedule::Axis& axis = schedule.axis(collective.axis);
            return collective_seconds(collective.kind, schedule::message_bytes(program, collective), axis.size, axis.stride, cluster,
                                      schedule.ranks, program.tensor(collective.send).dtype, coldness);
        }
        case OpKind::host_compute:
            return host_compute_seconds(op.kernel, program.attributes_of(op), schedule::compute_dtype(program, op), cluster, schedule.ranks);
        case OpKind::count_: break;
    }
    throw BugError("op of an unknown kind");
}

} // namespace zerosim::cost
