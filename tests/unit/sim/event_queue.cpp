#include "event_queue.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <stdexcept>

namespace zerosim::test {
namespace {

using schedule::Op;
using schedule::OpKind;

constexpr std::int64_t kNever = -1;

/// One execution of an op.
struct Instance {
    std::size_t op = 0;
    int step = 0;
    std::vector<std::size_t> deps;                             // instances
    std::int64_t issue = kNever, begin = kNever, end = kNever; // end: known when it starts, in force from then on
    std::int64_t collective_number = kNever;                   // k-th on its axis
    bool joined = false, moved = false;                        // all members have come; the own share of the bytes is there
};

/// A member's share of a running collective. Links serve those issued first, first; a collective takes the whole link.
struct Transfer {
    std::size_t instance = 0;
    std::int64_t left = 0;
};

struct Role {
    const schedule::Program* program = nullptr;
    std::vector<Instance> instances;
    std::size_t next = 0; // the host's
    std::int64_t host_busy_until = 0;
    std::vector<std::deque<std::pair<std::size_t, std::int64_t>>> queues; // by stream: instance, visible from
    std::vector<std::int64_t> stream_busy_until;
    std::vector<Transfer> transfers; // that have begun, in issue order
};

class Events {
public:
    Events(const schedule::Schedule& schedule, int steps, const Duration& duration, std::int64_t host_issue)
        : schedule_(schedule), duration_(duration), host_issue_(host_issue) {
        for (const schedule::RankRole& role : schedule.roles) add_role(schedule.programs[role.program], steps);
    }

    trace::Trace run() {
        times_.insert(0);
        while (!times_.empty()) {
            const std::int64_t before = now_;
            now_ = *times_.begin();
            times_.erase(times_.begin());
            for (Role& role : roles_) transfer(role, now_ - before);
            while (poll()) {
            }
            for (const Role& role : roles_)
                if (!role.transfers.empty()) times_.insert(now_ + role.transfers.front().left);
        }
        return result();
    }

private:
    void add_role(const schedule::Program& program, int steps) {
        Role& role = roles_.emplace_back();
        role.program = &program;
        role.queues.resize(program.streams.size());
        role.stream_busy_until.assign(program.streams.size(), 0);
        std::map<std::size_t, std::size_t> last;      // op -> its latest instance
        std::map<std::uint32_t, std::int64_t> counts; // axis -> collectives so far
        for (int step = 0; step <= steps; ++step) {
            const auto [begin, end] = program.bounds(step == 0 ? schedule::Segment::init : program.segment_of_step(step));
            for (std::size_t op = begin; op < end; ++op) {
                Instance instance;
                instance.op = op;
                instance.step = step;
                for (const OpId dep : program.deps_of(program.ops[op])) instance.deps.push_back(last.at(dep.index()));
                if (program.ops[op].kind == OpKind::collective)
                    instance.collective_number = counts[program.collective_of(program.ops[op]).axis.value]++;
                last[op] = role.instances.size();
                role.instances.push_back(instance);
            }
        }
    }

    bool done(const Role& role, std::size_t instance) const {
        return role.instances[instance].end != kNever && role.instances[instance].end <= now_;
    }
    bool deps_done(const Role& role, const Instance& instance) const {
        return std::all_of(instance.deps.begin(), instance.deps.end(), [&](std::size_t dep) { return done(role, dep); });
    }

    /// One change of state at the present time, if there is any.
    bool poll() {
        for (Role& role : roles_) {
            if (poll_host(role)) return true;
            for (std::size_t stream = 0; stream < role.queues.size(); ++stream)
                if (poll_stream(role, stream)) return true;
        }
        return false;
    }

    bool poll_host(Role& role) {
        if (role.host_busy_until > now_ || role.next == role.instances.size()) return false;
        Instance& instance = role.instances[role.next];
        const Op& op = role.program->ops[instance.op];
        if (instance.issue == kNever) instance.issue = now_;
        if (op.kind == OpKind::host_wait) {
            if (!deps_done(role, instance)) return false;
            instance.begin = instance.issue;
            instance.end = now_;
        } else {
            const bool bookkeeping = op.kind == OpKind::alloc || op.kind == OpKind::free || op.kind == OpKind::mark;
            role.host_busy_until = now_ + (bookkeeping ? 0 : host_issue_);
            times_.insert(role.host_busy_until);
            role.queues[op.stream.index()].push_back({role.next, role.host_busy_until});
        }
        ++role.next;
        return true;
    }

    bool poll_stream(Role& role, std::size_t stream) {
        if (role.queues[stream].empty() || role.stream_busy_until[stream] > now_) return false;
        const auto [number, visible] = role.queues[stream].front();
        Instance& instance = role.instances[number];
        if (visible > now_ || !deps_done(role, instance)) return false;
        const Op& op = role.program->ops[instance.op];
        if (op.kind == OpKind::collective) return arrive(role, instance, op);
        const bool bookkeeping = op.kind == OpKind::alloc || op.kind == OpKind::free || op.kind == OpKind::mark;
        instance.begin = now_;
        finish(role, number, now_ + (bookkeeping ? 0 : duration_(*role.program, op, rank_of(role))));
        return true;
    }

    bool arrive(Role& role, Instance& instance, const Op& op) {
        const AxisId axis = role.program->collective_of(op).axis;
        if (instance.begin == kNever && !communicator_free(role, instance, axis)) return false;
        const bool came = instance.begin == kNever;
        if (came) instance.begin = now_;
        std::vector<std::pair<Role*, std::size_t>> members;
        std::int64_t longest = 0;
        bool all_moved = true;
        for (const std::size_t peer : peers(axis, static_cast<std::size_t>(&role - roles_.data()))) {
            Role& other = roles_[peer];
            const std::size_t number = find(other, axis, instance.collective_number);
            if (other.instances[number].begin == kNever) return came;
            members.emplace_back(&other, number);
            all_moved &= other.instances[number].moved;
            longest = std::max(longest, duration_(*other.program, other.program->ops[other.instances[number].op], rank_of(other)));
        }
        if (!instance.joined) {
            for (const auto& [member, number] : members) join(*member, number, longest);
            return true;
        }
        if (all_moved)
            for (const auto& [member, number] : members) finish(*member, number, now_);
        return all_moved;
    }

    std::int64_t rank_of(const Role& role) const { return schedule_.roles[static_cast<std::size_t>(&role - roles_.data())].first_rank; }

    static void join(Role& role, std::size_t number, std::int64_t duration) {
        role.instances[number].joined = true;
        role.instances[number].moved = duration == 0;
        if (duration == 0) return;
        const auto later = [&](const Transfer& transfer) { return transfer.instance > number; };
        role.transfers.insert(std::find_if(role.transfers.begin(), role.transfers.end(), later), {number, duration});
    }

    /// `time` has passed: the share that was issued first has moved, the others waited for the link.
    static void transfer(Role& role, std::int64_t time) {
        if (role.transfers.empty()) return;
        Transfer& first = role.transfers.front();
        if ((first.left -= time) > 0) return;
        if (first.left < 0) throw std::logic_error("a transfer has ended unseen");
        role.instances[first.instance].moved = true;
        role.transfers.erase(role.transfers.begin());
    }

    bool communicator_free(const Role& role, const Instance& instance, AxisId axis) const {
        if (!schedule_.one_communicator_per_axis || instance.collective_number == 0) return true;
        return done(role, find(role, axis, instance.collective_number - 1));
    }

    void finish(Role& role, std::size_t number, std::int64_t end) {
        Instance& instance = role.instances[number];
        const std::size_t stream = role.program->ops[instance.op].stream.index();
        instance.end = end;
        role.stream_busy_until[stream] = end;
        role.queues[stream].pop_front();
        times_.insert(end);
    }

    static std::size_t find(const Role& role, AxisId axis, std::int64_t number) {
        for (std::size_t i = 0; i < role.instances.size(); ++i) {
            const Op& op = role.program->ops[role.instances[i].op];
            if (op.kind == OpKind::collective && role.program->collective_of(op).axis == axis &&
                role.instances[i].collective_number == number)
                return i;
        }
        throw std::logic_error("a peer lacks the collective");
    }

    std::size_t role_of(std::int64_t rank) const {
        for (std::size_t role = 0; role < schedule_.roles.size(); ++role)
            if (rank >= schedule_.roles[role].first_rank && rank < schedule_.roles[role].first_rank + schedule_.roles[role].count)
                return role;
        throw std::logic_error("rank without a role");
    }

    /// Roles reached from `start` over groups, rank by rank.
    std::set<std::size_t> peers(AxisId id, std::size_t start) const {
        const schedule::Axis& axis = schedule_.axis(id);
        std::set<std::size_t> found = {start};
        for (std::size_t before = 0; before != found.size();) {
            before = found.size();
            for (std::int64_t rank = 0; rank < schedule_.ranks; ++rank) {
                if (!found.contains(role_of(rank))) continue;
                const std::int64_t base = rank - axis.coordinate(rank) * axis.stride;
                for (std::int64_t i = 0; i < axis.size; ++i) found.insert(role_of(base + i * axis.stride));
            }
        }
        return found;
    }

    trace::Trace result() const {
        trace::Trace trace;
        for (std::size_t r = 0; r < roles_.size(); ++r) {
            trace::RankTrace rank;
            rank.rank = schedule_.roles[r].first_rank;
            for (const Instance& i : roles_[r].instances) {
                if (i.end == kNever) throw std::logic_error("an op was never finished");
                rank.times.push_back({i.step, static_cast<std::uint32_t>(i.op), i.issue, i.begin, i.end, -1});
            }
            trace.ranks.push_back(std::move(rank));
        }
        return trace;
    }

    const schedule::Schedule& schedule_;
    const Duration& duration_;
    std::int64_t host_issue_;
    std::vector<Role> roles_;
    std::set<std::int64_t> times_;
    std::int64_t now_ = 0;
};

} // namespace

trace::Trace simulate_by_events(const schedule::Schedule& schedule, int steps, const Duration& duration,
                                std::int64_t host_issue) {
    return Events(schedule, steps, duration, host_issue).run();
}

} // namespace zerosim::test
