// One pass over the roles' programs in a merged topological order. With FIFO streams and fixed durations it is exact:
// start = max(stream clock, host issue, deps, peers' arrival) (docs/design.md, Simulation).
#include "sim/simulate.hpp"

#include "base/error.hpp"
#include "sim/beside.hpp"
#include "sim/durations.hpp"
#include "sim/peers.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <tuple>
#include <utility>

namespace zerosim::sim {
namespace {

using schedule::Op;
using schedule::OpKind;
using schedule::Program;
using schedule::Schedule;

/// The clocks of one role, and how far it has come.
struct RoleClock {
    const Program* program = nullptr;
    const Durations* durations = nullptr;
    int step = 0; // 0 = init
    std::size_t position = 0, segment_end = 0;
    std::int64_t host = 0;
    std::int64_t live_bytes = 0;
    std::vector<std::int64_t> streams; // when each is free
    std::vector<std::int64_t> done;    // by op: end of its last execution
    Beside beside;
    std::vector<trace::OpTime> times;
    bool waiting = false, finished = false; // waiting: for peers, with the launch at `position` issued
    std::int64_t ready = 0;                 // of that launch
};

/// The launch that a set of peers is gathering for. A role waits for one at a time, so the k-th of each meet.
struct Gathering {
    std::uint32_t arrived = 0;
    std::int64_t ready = 0, duration = 0;
};

class Pass {
public:
    Pass(const Schedule& schedule, const cluster::Cluster& cluster, int steps);
    trace::Trace run();

private:
    bool advance(RoleClock& role, std::uint32_t index);
    bool next_segment(RoleClock& role) const;
    void execute(RoleClock& role) const;
    std::int64_t duration(const RoleClock& role, const Op& op, std::int64_t begin) const;
    void issue(RoleClock& role) const;
    bool meet(RoleClock& role, std::uint32_t index);
    static void complete(RoleClock& role, std::int64_t begin, std::int64_t end);
    [[noreturn]] void report_deadlock() const;

    const Schedule& schedule_;
    int steps_;
    double slowdown_; // of kernels beside collectives
    Peers peers_;
    std::vector<Durations> durations_; // by program
    std::vector<RoleClock> roles_;
    std::vector<Gathering> gatherings_; // by set of peers
};

Pass::Pass(const Schedule& schedule, const cluster::Cluster& cluster, int steps)
    : schedule_(schedule), steps_(steps), slowdown_(cluster.compute_slowdown), peers_(peers(schedule)), gatherings_(peers_.sizes.size()) {
    for (const Program& program : schedule.programs) durations_.push_back(durations(schedule, program, cluster));
    for (const schedule::RankRole& role : schedule.roles) {
        RoleClock& clock = roles_.emplace_back();
        clock.program = &schedule.programs[role.program];
        clock.durations = &durations_[role.program];
        clock.segment_end = clock.program->bounds(schedule::Segment::init).second;
        clock.streams.assign(clock.program->streams.size(), 0);
        clock.done.assign(clock.program->ops.size(), 0);
        std::size_t ops = clock.segment_end;
        for (int step = 1; step <= steps; ++step) {
            const auto [begin, end] = clock.program->bounds(clock.program->segment_of_step(step));
            ops += end - begin;
        }
        clock.times.reserve(ops);
    }
}

trace::Trace Pass::run() {
    for (bool all_finished = false; !all_finished;) {
        bool moved = false;
        all_finished = true;
        for (std::uint32_t role = 0; role < roles_.size(); ++role) {
            moved |= advance(roles_[role], role);
            all_finished &= roles_[role].finished;
        }
        if (!moved && !all_finished) report_deadlock();
    }
    trace::Trace result;
    result.simulated = true;
    for (std::size_t role = 0; role < roles_.size(); ++role)
        result.ranks.push_back({schedule_.roles[role].first_rank, 0, std::move(roles_[role].times)});
    return result;
}

/// Runs a role until it waits for peers or is finished. False if it could not move at all.
bool Pass::advance(RoleClock& role, std::uint32_t index) {
    if (role.waiting || role.finished) return false;
    for (;;) {
        while (role.position == role.segment_end)
            if (!next_segment(role)) return true;
        if (role.program->ops[role.position].kind != OpKind::collective)
            execute(role);
        else if (issue(role); !meet(role, index))
            return true;
    }
}

bool Pass::next_segment(RoleClock& role) const {
    if (role.step >= steps_) {
        role.finished = true;
        return false;
    }
    ++role.step;
    std::tie(role.position, role.segment_end) = role.program->bounds(role.program->segment_of_step(role.step));
    return true;
}

/// Any op but a collective.
void Pass::execute(RoleClock& role) const {
    const Op& op = role.program->ops[role.position];
    trace::OpTime& time = role.times.emplace_back();
    time.step = role.step;
    time.op = static_cast<std::uint32_t>(role.position);
    time.issue = role.host;
    std::int64_t deps = 0;
    for (const OpId dep : role.program->deps_of(op)) deps = std::max(deps, role.done[dep.index()]);
    if (op.kind == OpKind::host_wait) {
        time.begin = role.host;
        time.end = role.host = std::max(role.host, deps);
    } else {
        role.host += role.durations->issue[role.position];
        std::int64_t& stream = role.streams[op.stream.index()];
        time.begin = std::max({stream, role.host, deps});
        time.end = stream = time.begin + duration(role, op, time.begin);
        if (op.kind == OpKind::alloc || op.kind == OpKind::free) {
            const schedule::Storage& storage = role.program->storage(op.storage);
            if (storage.space == schedule::Space::device)
                time.live_bytes = role.live_bytes += op.kind == OpKind::alloc ? storage.bytes : -storage.bytes;
        }
    }
    role.done[role.position++] = time.end;
}

/// Kernels share multiprocessors and memory with the collectives that run beside them.
std::int64_t Pass::duration(const RoleClock& role, const Op& op, std::int64_t begin) const {
    const std::int64_t alone = role.durations->device[role.position];
    const bool kernel = op.kind == OpKind::compute || op.kind == OpKind::copy || op.kind == OpKind::optimizer;
    return kernel && slowdown_ > 0 ? role.beside.stretched(begin, alone, slowdown_) : alone;
}

/// Issues the collectives of one launch (usually one) and finds when this rank is ready for them.
void Pass::issue(RoleClock& role) const {
    const std::uint32_t launched = role.durations->launched[role.position];
    role.ready = role.streams[role.program->ops[role.position].stream.index()];
    for (std::uint32_t i = 0; i < launched; ++i) {
        const std::size_t position = role.position + i;
        trace::OpTime& time = role.times.emplace_back();
        time.step = role.step;
        time.op = static_cast<std::uint32_t>(position);
        time.issue = role.host;
        role.host += role.durations->issue[position];
        for (const OpId dep : role.program->deps_of(role.program->ops[position]))
            role.ready = std::max(role.ready, role.done[dep.index()]);
    }
    role.ready = std::max(role.ready, role.host);
}

/// False while peers have not arrived; the last to arrive completes the launch for all.
bool Pass::meet(RoleClock& role, std::uint32_t index) {
    const AxisId axis = role.program->collective_of(role.program->ops[role.position]).axis;
    const std::uint32_t set = peers_.set_of[axis.index()][index];
    const std::int64_t duration = role.durations->device[role.position];
    if (peers_.sizes[set] == 1) {
        complete(role, role.ready, role.ready + duration);
        return true;
    }
    Gathering& gathering = gatherings_[set];
    gathering.ready = std::max(gathering.ready, role.ready);
    gathering.duration = std::max(gathering.duration, duration);
    role.waiting = true;
    if (++gathering.arrived < peers_.sizes[set]) return false;
    const std::int64_t begin = gathering.ready, end = begin + gathering.duration;
    gathering = {};
    for (std::uint32_t other = 0; other < roles_.size(); ++other) {
        RoleClock& peer = roles_[other];
        if (peer.waiting && peers_.set_of[axis.index()][other] == set &&
            peer.program->collective_of(peer.program->ops[peer.position]).axis == axis)
            complete(peer, begin, end);
    }
    return true;
}

void Pass::complete(RoleClock& role, std::int64_t begin, std::int64_t end) {
    const std::uint32_t launched = role.durations->launched[role.position];
    role.beside.add(begin, end);
    role.streams[role.program->ops[role.position].stream.index()] = end;
    for (std::uint32_t i = 0; i < launched; ++i) {
        trace::OpTime& time = role.times[role.times.size() - launched + i];
        time.begin = role.ready;
        time.end = end;
        role.done[role.position++] = end;
    }
    role.waiting = false;
}

void Pass::report_deadlock() const {
    std::string what = "simulated ranks wait for each other in different collectives:";
    for (std::size_t index = 0; index < roles_.size(); ++index) {
        const RoleClock& role = roles_[index];
        const std::int64_t rank = schedule_.roles[index].first_rank;
        if (role.finished)
            what += fmt::format(" rank {} has finished;", rank);
        else
            what += fmt::format(" rank {} in op {} '{}' of step {};", rank, role.position,
                                schedule_.names[role.program->ops[role.position].name], role.step);
    }
    what.back() = '.';
    throw BugError(what);
}

} // namespace

trace::Trace simulate(const Schedule& schedule, const cluster::Cluster& cluster, int steps) {
    return Pass(schedule, cluster, steps).run();
}

} // namespace zerosim::sim
