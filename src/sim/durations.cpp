#include "sim/durations.hpp"

#include "cost/cost.hpp"

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
double transfer_seconds(const schedule::Schedule& schedule, const Program& program, const Op& op,
                        const cluster::Cluster& cluster) {
    const schedule::Collective& collective = program.collective_of(op);
    const schedule::Axis& axis = schedule.axis(collective.axis);
    return cost::op_seconds(schedule, program, op, cluster) -
           cost::collective_seconds(collective.kind, 0, axis.size, axis.stride, cluster, schedule.ranks);
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
    return seconds > 0 ? seconds : cluster.device.host_issue_seconds;
}

} // namespace

Durations durations(const schedule::Schedule& schedule, const Program& program, const cluster::Cluster& cluster) {
    Durations result;
    result.device.resize(program.ops.size());
    result.launched.assign(program.ops.size(), 1);
    result.issue.reserve(program.ops.size());
    for (const Op& op : program.ops) result.issue.push_back(gives_device_work(op.kind) ? nanoseconds(issue_seconds(program, op, cluster)) : 0);
    for (std::size_t i = 0; i < program.ops.size();) {
        double seconds = cost::op_seconds(schedule, program, program.ops[i], cluster);
        std::size_t next = i + 1;
        while (next < program.ops.size() && next != program.first_begin && next != program.steady_begin &&
               same_launch(program, program.ops[i], program.ops[next]))
            seconds += transfer_seconds(schedule, program, program.ops[next++], cluster);
        result.device[i] = nanoseconds(seconds);
        result.launched[i] = static_cast<std::uint32_t>(next - i);
        i = next;
    }
    return result;
}

} // namespace zerosim::sim
