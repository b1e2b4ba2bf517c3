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

} // namespace

Durations durations(const schedule::Schedule& schedule, const Program& program, const cluster::Cluster& cluster) {
    Durations result;
    result.device.resize(program.ops.size());
    result.launched.assign(program.ops.size(), 1);
    result.issue = nanoseconds(cluster.device.host_issue_seconds);
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
