#include "sim/durations.hpp"

#include "cost/cost.hpp"
#include "cost/placement.hpp"
#include "sim/cache_age.hpp"

#include <algorithm>
#include <cmath>

namespace zerosim::sim {
namespace {

using schedule::Op;
using schedule::OpKind;
using schedule::Program;

std::int64_t nanoseconds(double seconds) { return std::llround(seconds * 1e9); }

bool same_launch(const Program& program, const Op& first, const Op& next) {
    if (first.kind != OpKind::collective || next.kind != OpKind::collective || first.stream != next.stream) return false;
    const schedule::Collective& a = program.collective_of(first);
    const schedule::Collective& b = program.collective_of(next);
    return a.launch_group >= 0 && a.launch_group == b.launch_group && a.axis == b.axis;
}

/// Seconds of a collective beyond those of an empty one.
double transfer_seconds(const schedule::Schedule& schedule, const Program& program, const Op& op, const cluster::Cluster& cluster,
                        cost::Coldness coldness) {
    const schedule::Collective& collective = program.collective_of(op);
    const schedule::Axis& axis = schedule.axis(collective.axis);
    return cost::op_seconds(schedule, program, op, cluster, coldness) -
           cost::collective_seconds(collective.kind, 0, axis.size, axis.stride, cluster, schedule.ranks, DType::fp32, coldness);
}

/// 0 where the software says nothing of it: DDP's bucket reductions are started by C++.
double collective_issue_seconds(CollectiveKind kind, bool forward, const cluster::IssueSeconds& issue) {
    if (kind == CollectiveKind::all_gather) return forward ? issue.gather_forward : issue.gather_backward;
    return kind == CollectiveKind::reduce_scatter ? issue.reduce : 0;
}

/// Host time of an op: the software's where it is known (kernels and collectives of forward and backward), else the device's.
double issue_seconds(const Program& program, const Op& op, const cluster::Cluster& cluster) {
    const cluster::IssueSeconds& issue = cluster.software.issue;
    const bool forward = op.tags.phase == schedule::Phase::forward, backward = op.tags.phase == schedule::Phase::backward;
    double seconds = 0;
    if (op.kind == OpKind::compute && (forward || backward)) seconds = forward || op.tags.recompute ? issue.forward : issue.backward;
    if (op.kind == OpKind::copy && (forward || backward)) seconds = issue.copy;
    if (op.kind == OpKind::collective && (forward || backward) && !program.collective_of(op).scalar)
        seconds = collective_issue_seconds(program.collective_of(op).kind, forward, issue);
    // A rank's thread hands collectives over to another, which must be woken, and takes the core that the kernels had.
    const double hand_over = cluster.device.is_cpu && op.kind == OpKind::collective && !cluster.free_communication ? cluster.collective_launch_seconds : 0.0;
    return hand_over + (seconds > 0 ? seconds : cluster.device.host_issue_seconds);
}

/// The launch that begins at `first`: its seconds, and where the next begins.
struct Launch {
    double seconds = 0;
    std::size_t end = 0;
};

Launch launch(const schedule::Schedule& schedule, const Program& program, std::size_t first, const cluster::Cluster& cluster,
              const std::vector<cost::Coldness>& coldness) {
    const auto cold = [&](std::size_t op) { return coldness.empty() ? cost::Coldness{} : coldness[op]; };
    Launch result{cost::op_seconds(schedule, program, program.ops[first], cluster, cold(first)), first + 1};
    while (result.end < program.ops.size() && result.end != program.first_begin && result.end != program.steady_begin &&
           same_launch(program, program.ops[first], program.ops[result.end])) {
        result.seconds += transfer_seconds(schedule, program, program.ops[result.end], cluster, cold(result.end));
        ++result.end;
    }
    return result;
}

} // namespace

Durations durations(const schedule::Schedule& schedule, const Program& program, const cluster::Cluster& cluster) {
    Durations result;
    result.coldness = coldness_of_collectives(schedule, program, cluster);
    result.device.resize(program.ops.size());
    result.launched.assign(program.ops.size(), 1);
    result.issue.reserve(program.ops.size());
    for (const Op& op : program.ops) result.issue.push_back(gives_device_work(op.kind) ? nanoseconds(issue_seconds(program, op, cluster)) : 0);
    for (std::size_t i = 0; i < program.ops.size();) {
        const Launch next = launch(schedule, program, i, cluster, result.coldness);
        result.device[i] = nanoseconds(next.seconds);
        result.launched[i] = static_cast<std::uint32_t>(next.end - i);
        i = next.end;
    }
    return result;
}

std::vector<std::int64_t> collective_durations(const schedule::Schedule& schedule, const Program& program, const Durations& nominal,
                                               const cluster::Cluster& cluster) {
    std::vector<std::int64_t> result(program.ops.size(), 0);
    for (std::size_t i = 0; i < program.ops.size(); i += nominal.launched[i])
        if (program.ops[i].kind == OpKind::collective) result[i] = nanoseconds(launch(schedule, program, i, cluster, nominal.coldness).seconds);
    return result;
}

LinkDemand link_demand(const schedule::Schedule& schedule, const Program& program, const Durations& durations, std::size_t op,
                       const cluster::Cluster& cluster) {
    if (durations.device[op] <= 0) return {};
    const schedule::Axis& axis = schedule.axis(program.collective_of(program.ops[op]).axis);
    const cost::Placement place = cost::place(axis.size, axis.stride, cluster, schedule.ranks);
    double sent = 0;
    for (std::size_t i = op; i < op + durations.launched[op]; ++i) {
        const schedule::Collective& collective = program.collective_of(program.ops[i]);
        sent += static_cast<double>(schedule::message_bytes(program, collective)) * ring_factor(collective.kind, axis.size);
    }
    const double rate = sent / (static_cast<double>(durations.device[op]) * 1e-9); // along the ring
    const auto share = [](double of, double capacity) { return capacity > 0 ? std::min(1.0, of / capacity) : 0.0; };
    LinkDemand demand;
    if (place.per_node > 1) demand.nvlink = share(rate, cluster.intra_node.achieved_bytes_per_second());
    // A ring leaves a node once, through the cards of its devices there.
    if (place.nodes > 1) demand.network = share(rate / static_cast<double>(place.per_node), cluster.network.achieved_bytes_per_second());
    return demand;
}

} // namespace zerosim::sim
