// One pass over the roles' programs in a merged topological order. With FIFO streams and fixed durations it is exact:
// start = max(stream clock, host issue, deps, peers' arrival) (docs/design.md, Simulation).
#include "sim/simulate.hpp"

#include "cost/host_cost.hpp"
#include "sim/deadlock.hpp"
#include "sim/kernel_variation.hpp"
#include "sim/lane_times.hpp"
#include "sim/lanes.hpp"
#include "sim/meeting.hpp"
#include "sim/rank_variation.hpp"
#include "sim/role_clock.hpp"
#include "sim/steady.hpp"
#include "sim/timing.hpp"

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

namespace zerosim::sim {
namespace {

using schedule::Op;
using schedule::OpKind;
using schedule::Program;
using schedule::Schedule;

bool is_kernel(OpKind kind) { return kind == OpKind::compute || kind == OpKind::copy || kind == OpKind::optimizer; }
bool runs_on_device(OpKind kind) { return is_kernel(kind) || kind == OpKind::fill || kind == OpKind::initialize; }

class Pass {
public:
    Pass(const Schedule& schedule, const cluster::Cluster& cluster, int steps, const Options& options);
    void run();
    /// One step more, after run().
    void run_on();
    /// Whether the last two steps of every traced rank took the same time.
    [[nodiscard]] bool steady() const;
    [[nodiscard]] int steps() const { return steps_; }
    [[nodiscard]] trace::Trace take();

private:
    void add_role(std::size_t index, bool share_links, const std::vector<std::int64_t>& traced);
    bool advance(RoleClock& role, std::uint32_t index);
    bool next_segment(RoleClock& role);
    void execute(RoleClock& role);
    void pass_by(RoleClock& role) const;
    void wait(RoleClock& role) const;
    void begin(RoleClock& role) const;
    void run(RoleClock& role, std::int64_t alone);
    void vary(RoleClock& role, std::int64_t alone);
    void share(RoleClock& role) const;
    void record(RoleClock& role, std::int64_t issue) const;
    void issue(RoleClock& role) const;
    bool meet(RoleClock& role, std::uint32_t index);
    [[nodiscard]] std::size_t rows_of(const RoleClock& role, schedule::Segment segment) const;

    const Schedule& schedule_;
    int steps_;
    double slowdown_; // of kernels beside collectives
    bool varied_;     // a clock for each rank
    bool bookkeeping_rows_;
    Lanes lanes_;
    std::optional<KernelVariation> variation_;
    LinkClasses classes_;
    MeetingPoint meeting_;
    std::vector<Durations> own_durations_; // where the caller brings none
    std::vector<Timing> timings_; // by program
    std::vector<RoleClock> roles_;
    std::vector<std::vector<std::uint32_t>> arrived_; // by axis and set of roles
};

Pass::Pass(const Schedule& schedule, const cluster::Cluster& cluster, int steps, const Options& options)
    : schedule_(schedule), steps_(steps), slowdown_(cost::slowdown_beside_collectives(cluster, schedule.ranks)), varied_(!cluster.variation.none()),
      bookkeeping_rows_(options.bookkeeping_rows), lanes_(lanes(schedule, varied_)),
      classes_(varied_ && !(cluster.variation.links.empty() && cluster.variation.pairs.empty()) ? link_classes(lanes_, cluster, schedule.ranks)
                                                                                                : LinkClasses{}),
      meeting_(lanes_, classes_, varied_ ? std::optional(steps) : std::nullopt) {
    check_variation(cluster.variation, schedule.ranks);
    std::vector<double> factors; // by rank
    if (varied_) {
        factors = device_factors(cluster.variation, schedule.ranks);
        variation_.emplace(cluster.variation, lanes_, factors);
    }
    const bool share_links = several_communicators(schedule);
    if (options.durations.empty()) own_durations_ = durations_of_programs(schedule, cluster);
    const std::span<const Durations> known = options.durations.empty() ? own_durations_ : options.durations;
    for (std::size_t i = 0; i < schedule.programs.size(); ++i)
        timings_.push_back(timing(schedule, schedule.programs[i], known[i], cluster, classes_.classes, share_links));
    const std::vector<std::int64_t> traced = varied_ ? traced_ranks(cluster.variation, factors) : lanes_.ranks;
    for (std::size_t role = 0; role < schedule.roles.size(); ++role) add_role(role, share_links, traced);
    for (const Meetings& axis : lanes_.axes) arrived_.emplace_back(axis.set_roles.size(), 0u);
}

void Pass::add_role(std::size_t index, bool share_links, const std::vector<std::int64_t>& traced) {
    const schedule::RankRole& role = schedule_.roles[index];
    RoleClock& clock = roles_.emplace_back();
    clock.program = &schedule_.programs[role.program];
    clock.timing = &timings_[role.program];
    clock.kin = &lanes_.kin[index];
    clock.index = static_cast<std::uint32_t>(index);
    clock.first_lane = lanes_.first[index];
    clock.segment_end = clock.program->bounds(schedule::Segment::init).second;
    const Times zero(lanes_.count(index), 0);
    clock.host = clock.ready = clock.begin = clock.lasts = zero;
    clock.streams.assign(clock.program->streams.size(), zero);
    clock.ends.assign(clock.timing->ends.columns, zero);
    if (schedule_.one_communicator_per_axis) clock.communicators.assign(schedule_.axes.size(), zero);
    if (slowdown_ > 0) clock.beside.resize(clock.kin->first.size());
    if (share_links) clock.links.resize(clock.kin->first.size());
    std::size_t rows = rows_of(clock, schedule::Segment::init);
    for (int step = 1; step <= steps_; ++step) rows += rows_of(clock, clock.program->segment_of_step(step));
    for (std::uint32_t lane = 0; lane < zero.size(); ++lane) {
        const std::int64_t rank = lanes_.ranks[clock.first_lane + lane];
        if (!std::ranges::binary_search(traced, rank)) continue;
        TracedLane& kept = clock.traced.emplace_back();
        kept.lane = lane;
        kept.trace.rank = rank;
        kept.trace.count = varied_ ? 1 : role.count;
        kept.trace.times.reserve(rows);
    }
}

/// Of a step, or of init.
std::size_t Pass::rows_of(const RoleClock& role, schedule::Segment segment) const {
    const auto [begin, end] = role.program->bounds(segment);
    std::size_t rows = end - begin;
    for (std::size_t op = begin; op < end && !bookkeeping_rows_; ++op) rows -= role.holds_nothing_up(op) && role.program->ops[op].kind != OpKind::mark;
    return rows;
}

void Pass::run() {
    for (bool all_finished = false; !all_finished;) {
        bool moved = false;
        all_finished = true;
        for (std::uint32_t role = 0; role < roles_.size(); ++role) {
            moved |= advance(roles_[role], role);
            all_finished &= roles_[role].finished;
        }
        if (!moved && !all_finished) report_deadlock(schedule_, roles_);
    }
}

void Pass::run_on() {
    ++steps_;
    if (varied_) meeting_.keep_statistics_of(steps_);
    for (RoleClock& role : roles_) {
        role.finished = false;
        const std::size_t rows = rows_of(role, schedule::Segment::steady);
        for (TracedLane& traced : role.traced) traced.trace.times.reserve(traced.trace.times.size() + rows);
    }
    run();
}

bool Pass::steady() const {
    return std::ranges::all_of(roles_, [this](const RoleClock& role) {
        return std::ranges::all_of(role.traced, [this](const TracedLane& lane) { return is_steady(lane.trace, steps_); });
    });
}

trace::Trace Pass::take() {
    trace::Trace result;
    result.simulated = true;
    for (RoleClock& role : roles_)
        for (TracedLane& kept : role.traced) result.ranks.push_back(std::move(kept.trace));
    if (const LaneStatistics* statistics = meeting_.statistics_of(steps_)) result.statistics = statistics->by_rank(lanes_);
    return result;
}

/// Runs a role until it waits for peers or is finished. False if it could not move at all.
bool Pass::advance(RoleClock& role, std::uint32_t index) {
    if (role.waiting || role.finished) return false;
    for (;;) {
        while (role.position == role.segment_end)
            if (!next_segment(role)) return true;
        if (role.op().kind != OpKind::collective)
            execute(role);
        else if (issue(role); !meet(role, index))
            return true;
    }
}

bool Pass::next_segment(RoleClock& role) {
    if (role.step >= steps_) {
        role.finished = true;
        return false;
    }
    ++role.step;
    std::tie(role.position, role.segment_end) = role.program->bounds(role.program->segment_of_step(role.step));
    return true;
}

/// Any op but a collective.
void Pass::execute(RoleClock& role) {
    const Op& op = role.op();
    if (op.kind == OpKind::alloc || op.kind == OpKind::free)
        if (const schedule::Storage& storage = role.program->storage(op.storage); storage.space == schedule::Space::device)
            role.live_bytes += op.kind == OpKind::alloc ? storage.bytes : -storage.bytes;
    if (role.holds_nothing_up(role.position)) return pass_by(role);
    const std::int64_t issue = role.timing->durations->issue[role.position];
    if (op.kind == OpKind::host_wait) {
        wait(role);
    } else {
        role.issued += issue;
        begin(role);
        run(role, role.timing->durations->device[role.position]);
    }
    if (const std::int32_t column = role.timing->ends.column[role.position]; column != Ends::kNone)
        role.ends[static_cast<std::size_t>(column)] = role.streams[op.stream.index()];
    record(role, issue);
    ++role.position;
}

void Pass::pass_by(RoleClock& role) const {
    if (bookkeeping_rows_ || role.op().kind == OpKind::mark) {
        const Times& stream = role.streams[role.op().stream.index()];
        for (TracedLane& traced : role.traced) traced.begin = traced.end = std::max(stream[traced.lane], role.host_at(traced.lane));
        record(role, 0);
    }
    ++role.position;
}

void Pass::wait(RoleClock& role) const {
    for (TracedLane& traced : role.traced) traced.begin = role.host_at(traced.lane);
    for (const std::uint32_t column : role.timing->ends.needed_by(role.position)) raise(role.host, role.ends[column], role.issued);
    for (TracedLane& traced : role.traced) traced.end = role.host_at(traced.lane);
}

void Pass::begin(RoleClock& role) const {
    latest(role.begin, role.streams[role.op().stream.index()], role.host, role.issued);
    for (const std::uint32_t column : role.timing->ends.needed_by(role.position)) raise(role.begin, role.ends[column]);
}

/// The op on its stream. `alone`: on an undisturbed device, with nothing beside it.
void Pass::run(RoleClock& role, std::int64_t alone) {
    const OpKind kind = role.op().kind;
    Times& stream = role.streams[role.op().stream.index()];
    const bool varies = varied_ && alone > 0 && runs_on_device(kind), shares = slowdown_ > 0 && alone > 0 && is_kernel(kind);
    if (!varies && !shares) {
        add(stream, role.begin, alone);
    } else {
        if (varies) vary(role, alone);
        else std::ranges::fill(role.lasts, alone);
        if (shares) share(role);
        add(stream, role.begin, role.lasts);
    }
    for (TracedLane& traced : role.traced) {
        traced.begin = role.begin[traced.lane];
        traced.end = stream[traced.lane];
    }
}

/// What the kernel takes on each rank's device.
void Pass::vary(RoleClock& role, std::int64_t alone) {
    variation_->lengths(role.lasts, role.first_lane, alone, role.step, role.position);
    LaneStatistics* statistics = meeting_.statistics_of(role.step);
    if (statistics == nullptr || role.program->streams[role.op().stream.index()].kind != schedule::StreamKind::compute) return;
    for (std::uint32_t lane = 0; lane < role.lanes(); ++lane) statistics->busy[role.first_lane + lane] += role.lasts[lane];
}

/// Kernels share multiprocessors and memory with the collectives that run beside them.
void Pass::share(RoleClock& role) const {
    const std::uint32_t* kin = role.kin->of_lane.data();
    for (std::uint32_t lane = 0; lane < role.lanes(); ++lane)
        role.lasts[lane] = role.beside[kin[lane]].stretched(role.begin[lane], role.lasts[lane], slowdown_);
}

void Pass::record(RoleClock& role, std::int64_t issue) const {
    const bool memory = role.op().kind == OpKind::alloc || role.op().kind == OpKind::free;
    for (TracedLane& traced : role.traced) {
        trace::OpTime& time = traced.trace.times.emplace_back();
        time.step = role.step;
        time.op = static_cast<std::uint32_t>(role.position);
        time.begin = traced.begin;
        time.end = traced.end;
        time.issue = role.op().kind == OpKind::host_wait ? time.begin : role.host_at(traced.lane) - issue;
        if (memory && role.program->storage(role.op().storage).space == schedule::Space::device) time.live_bytes = role.live_bytes;
    }
}

/// Issues the collectives of one launch (usually one) and finds when each rank is ready for them.
void Pass::issue(RoleClock& role) const {
    const std::uint32_t launched = role.timing->durations->launched[role.position];
    role.ready = role.streams[role.op().stream.index()];
    if (!role.communicators.empty()) raise(role.ready, role.communicators[role.program->collective_of(role.op()).axis.index()]);
    for (std::size_t position = role.position; position < role.position + launched; ++position) {
        for (TracedLane& traced : role.traced) {
            trace::OpTime& time = traced.trace.times.emplace_back();
            time.step = role.step;
            time.op = static_cast<std::uint32_t>(position);
            time.issue = role.host_at(traced.lane);
        }
        role.issued += role.timing->durations->issue[position];
        for (const std::uint32_t column : role.timing->ends.needed_by(position)) raise(role.ready, role.ends[column]);
    }
    raise(role.ready, role.host, -role.issued);
}

/// False while peers have not arrived; the last role to arrive completes the launch for all. A role waits for one launch at a time, so
/// the k-th of each meet.
bool Pass::meet(RoleClock& role, std::uint32_t index) {
    const AxisId axis = role.program->collective_of(role.op()).axis;
    const Meetings& meetings = lanes_.axes[axis.index()];
    const std::uint32_t set = meetings.role_set[index];
    role.waiting = true;
    if (meetings.set_roles[set] == 1) {
        RoleClock* alone = &role;
        meeting_.complete(axis, {&alone, 1});
        return true;
    }
    if (++arrived_[axis.index()][set] < meetings.set_roles[set]) return false;
    arrived_[axis.index()][set] = 0;
    std::vector<RoleClock*> members;
    for (std::uint32_t other = 0; other < roles_.size(); ++other) {
        RoleClock& peer = roles_[other];
        if (peer.waiting && meetings.role_set[other] == set && peer.program->collective_of(peer.op()).axis == axis) members.push_back(&peer);
    }
    meeting_.complete(axis, members);
    return true;
}

} // namespace

std::vector<Durations> durations_of_programs(const Schedule& schedule, const cluster::Cluster& cluster) {
    std::vector<Durations> result;
    for (const Program& program : schedule.programs) {
        result.push_back(durations(schedule, program, cluster));
        if (cluster.variation.links.empty() && cluster.variation.pairs.empty()) std::vector<cost::Coldness>().swap(result.back().coldness); // asked for by other links alone
    }
    return result;
}

trace::Trace simulate(const Schedule& schedule, const cluster::Cluster& cluster, int steps, const Options& options) {
    Pass pass(schedule, cluster, steps, options);
    pass.run();
    return pass.take();
}

trace::Trace simulate_until_steady(const Schedule& schedule, const cluster::Cluster& cluster, int least, int most, const Options& options) {
    Pass pass(schedule, cluster, least, options);
    pass.run();
    // Drawn kernels differ from step to step for good; equal ranks and steps have nothing to settle.
    const bool settles = !cluster.variation.none() && cluster.variation.jitter == 0;
    while (settles && pass.steps() < most && !pass.steady()) pass.run_on();
    return pass.take();
}

} // namespace zerosim::sim
