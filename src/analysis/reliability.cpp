#include "analysis/reliability.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

namespace zerosim::analysis {
namespace {

using schedule::OpKind;
using schedule::Program;
using schedule::Role;

enum State : std::size_t { kParameters, kMasters, kFirst, kSecond, kStates };

std::optional<State> state_of(Role role) {
    switch (role) {
        case Role::parameter:
        case Role::parameter_shard: return kParameters;
        case Role::master_weight: return kMasters;
        case Role::first_moment: return kFirst;
        case Role::second_moment: return kSecond;
        default: return std::nullopt;
    }
}

/// By storage: held when a step is over, in whichever memory.
std::vector<bool> held_after_step(const Program& program) {
    std::vector<bool> held(program.storages.size(), false);
    for (const schedule::Op& op : program.ops)
        if (op.kind == OpKind::alloc || op.kind == OpKind::free) held[op.storage.index()] = op.kind == OpKind::alloc;
    return held;
}

}  // namespace

std::int64_t checkpoint_bytes(const schedule::Schedule& schedule, std::int64_t parameters, std::int64_t trainable_parameters) {
    const Program& program = schedule.program_of(0);
    const std::vector<bool> held = held_after_step(program);
    std::array<double, kStates> bytes{}, elements{};
    for (const schedule::Tensor& tensor : program.tensors) {
        const schedule::Storage& storage = program.storage(tensor.storage);
        const auto state = state_of(storage.role);
        if (!state || !held[tensor.storage.index()] || tensor.elements() <= 0) continue;
        bytes[*state] += static_cast<double>(tensor.elements() * size_of(tensor.dtype));
        elements[*state] += static_cast<double>(tensor.elements());
    }
    double total = 0;
    for (std::size_t state = 0; state < kStates; ++state)
        if (elements[state] > 0) total += bytes[state] / elements[state] * static_cast<double>(state == kParameters ? parameters : trainable_parameters);
    return std::llround(total);
}

double optimal_interval(double mtbf, double checkpoint) {
    if (checkpoint >= 2 * mtbf) return mtbf;
    const double ratio = checkpoint / (2 * mtbf);
    return std::sqrt(2 * checkpoint * mtbf) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - checkpoint;
}

double kept_share(double mtbf, double checkpoint, double interval, double restart) {
    const double spent = mtbf * std::exp(std::min(700.0, restart / mtbf)) * std::expm1(std::min(700.0, (interval + checkpoint) / mtbf));
    return spent > 0 ? std::min(1.0, interval / spent) : 1.0;
}

double without_spare(double load, std::int64_t spares) {
    double blocked = 1;   // Erlang B by its recursion over the number of servers: nodes away, of which the last stops the job
    for (std::int64_t away = 1; away <= spares + 1; ++away) blocked = load * blocked / (static_cast<double>(away) + load * blocked);
    return blocked;
}

ReliabilityReport reliability(const cluster::Cluster& cluster, std::int64_t ranks, std::int64_t checkpoint_bytes, double step) {
    const cluster::Reliability& r = cluster.reliability;
    ReliabilityReport report;
    report.mtbf = r.device_mtbf_hours * 3600 / static_cast<double>(ranks);
    report.checkpoint_bytes = checkpoint_bytes;
    report.checkpoint = static_cast<double>(checkpoint_bytes) / (r.storage_bytes_per_second_per_node * static_cast<double>(cluster::nodes(cluster, ranks)));
    report.restart = r.restart_seconds + report.checkpoint;   // reads as fast as it writes
    const double interval = r.interval_seconds > 0 ? r.interval_seconds : optimal_interval(report.mtbf, report.checkpoint);
    report.interval = step > 0 ? step * std::max(1.0, std::round(interval / step)) : interval;   // checkpoints lie between steps
    const double kept = kept_share(report.mtbf, report.checkpoint, report.interval, report.restart);
    const double running = r.spare_nodes < 0 ? 1.0 : 1 - without_spare(r.repair_hours * 3600 / report.mtbf, r.spare_nodes);
    const double unbroken = report.interval / (report.interval + report.checkpoint);
    report.checkpoint_share = (1 - unbroken) * running;
    report.failure_share = (unbroken - kept) * running;
    report.spare_share = 1 - running;
    report.goodput = kept * running;
    return report;
}

}  // namespace zerosim::analysis
