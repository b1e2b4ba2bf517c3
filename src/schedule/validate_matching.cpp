#include "schedule/dump.hpp"
#include "schedule/validate.hpp"

#include <fmt/format.h>

#include <deque>
#include <map>

namespace zerosim::schedule {
namespace {

/// A group of ranks along an axis, named by its member with coordinate 0.
struct GroupKey {
    std::uint32_t axis;
    std::int64_t base;
    friend auto operator<=>(const GroupKey&, const GroupKey&) = default;
};

GroupKey group_of(const Schedule& schedule, AxisId axis, std::int64_t rank) {
    const Axis& a = schedule.axis(axis);
    return {axis.value, rank - a.coordinate(rank) * a.stride};
}

std::string signature(const Program& program, const Collective& c) {
    return fmt::format("{} {} root {} {} bytes", zerosim::name(c.kind), zerosim::name(program.tensor(c.send).dtype), c.root, message_bytes(program, c));
}

/// Runs all ranks without time: an op is done once its stream's predecessor and its deps are; a collective once all members are there.
/// The rules are monotone, so what remains when nothing moves is exactly what lies on or behind a cycle of the merged graph.
class Progress {
public:
    Progress(const Schedule& schedule, std::vector<Violation>& violations) : schedule_(schedule), violations_(violations) {
        for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) {
            const Program& program = schedule.program_of(rank);
            ranks_.push_back({&program, 0, std::vector<std::deque<OpId>>(program.streams.size()), std::vector<bool>(program.ops.size(), false), {}});
        }
    }

    void run() {
        for (bool moved = true; moved;) {
            moved = false;
            for (std::int64_t rank = 0; rank < schedule_.ranks; ++rank)
                while (advance(rank)) moved = true;
        }
        for (std::int64_t rank = 0; rank < schedule_.ranks; ++rank) report_stuck(rank);
    }

private:
    struct Rank {
        const Program* program;
        std::size_t issued;
        std::vector<std::deque<OpId>> queues;
        std::vector<bool> done;
        std::map<GroupKey, int> collectives;   // arrived so far
    };
    struct Meeting {
        std::vector<std::pair<std::int64_t, OpId>> arrived;
        std::string signature;
    };

    bool ready(const Rank& r, OpId id) const {
        for (const OpId dep : r.program->deps_of(r.program->op(id)))
            if (!r.done[dep.index()]) return false;
        return true;
    }

    bool advance(std::int64_t rank) {
        Rank& r = ranks_[static_cast<std::size_t>(rank)];
        bool moved = false;
        while (r.issued < r.program->ops.size()) {
            const OpId id{r.issued};
            const Op& op = r.program->op(id);
            if (op.kind == OpKind::host_wait && !ready(r, id)) break;
            r.queues[op.stream.index()].push_back(id);
            ++r.issued;
            moved = true;
        }
        for (auto& queue : r.queues)
            while (!queue.empty() && ready(r, queue.front()) && finish(rank, queue.front())) {
                queue.pop_front();
                moved = true;
            }
        return moved;
    }

    /// Completes an op at the head of its queue; false for a collective that still waits for members.
    bool finish(std::int64_t rank, OpId id) {
        Rank& r = ranks_[static_cast<std::size_t>(rank)];
        const Op& op = r.program->op(id);
        if (r.done[id.index()]) return true;
        if (op.kind != OpKind::collective) {
            r.done[id.index()] = true;
            return true;
        }
        if (waiting_.contains({rank, id.value})) return false;
        const Collective& c = r.program->collective_of(op);
        const GroupKey key = group_of(schedule_, c.axis, rank);
        Meeting& meeting = meetings_[{key, r.collectives[key]++}];
        const std::string mine = signature(*r.program, c);
        if (meeting.arrived.empty()) meeting.signature = mine;
        else if (meeting.signature != mine)
            violations_.push_back({rank, id, fmt::format("is collective {} of its group as {}, but rank {} has {}", r.collectives[key], mine,
                                                         meeting.arrived.front().first, meeting.signature)});
        meeting.arrived.emplace_back(rank, id);
        waiting_[{rank, id.value}] = true;
        if (static_cast<std::int64_t>(meeting.arrived.size()) < schedule_.axis(c.axis).size) return false;
        for (const auto& [member, op_id] : meeting.arrived) ranks_[static_cast<std::size_t>(member)].done[op_id.index()] = true;
        return true;
    }

    void report_stuck(std::int64_t rank) {
        const Rank& r = ranks_[static_cast<std::size_t>(rank)];
        for (const auto& queue : r.queues) {
            if (queue.empty() || r.done[queue.front().index()]) continue;
            const bool collective = r.program->op(queue.front()).kind == OpKind::collective;
            violations_.push_back({rank, queue.front(), fmt::format("never completes ({}): {}", collective ? "deadlock, or a member does not issue it" : "waits for one that does not",
                                                                    describe(schedule_, *r.program, queue.front()))});
        }
    }

    const Schedule& schedule_;
    std::vector<Violation>& violations_;
    std::vector<Rank> ranks_;
    std::map<std::pair<GroupKey, int>, Meeting> meetings_;
    std::map<std::pair<std::int64_t, std::uint32_t>, bool> waiting_;
};

}  // namespace

std::vector<Violation> validate_matching(const Schedule& schedule) {
    std::vector<Violation> violations;
    // Ranks of one role issue the same collectives in the same order, and program order is a topological order of a single program:
    // nothing can differ and no cycle can close.
    if (schedule.roles.size() > 1) Progress(schedule, violations).run();
    return violations;
}

}  // namespace zerosim::schedule
