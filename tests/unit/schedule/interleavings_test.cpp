// The validator against brute force: all interleavings of random schedules of at most 12 ops on one or two ranks.
#include "hand_made.hpp"
#include "order_oracle.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>

namespace zerosim::schedule::test {
namespace {

constexpr std::size_t kMostOps = 12;

/// All ops of all ranks; an op completes in one instant, a collective in the same one on all members.
class Interleavings {
public:
    explicit Interleavings(const Schedule& schedule) : schedule_(schedule) {
        for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) {
            first_.push_back(ops_);
            ops_ += schedule.program_of(rank).ops.size();
        }
        visit(0);
    }
    /// Some order of events leaves ops that can never complete.
    [[nodiscard]] bool deadlock() const { return deadlock_; }
    /// In one state `a` of the rank is done and `b` is not, in another it is the other way round.
    [[nodiscard]] bool either_order(std::int64_t rank, std::size_t a, std::size_t b) const {
        bool a_first = false, b_first = false;
        for (const std::uint32_t done : states_) {
            a_first = a_first || (has(done, rank, a) && !has(done, rank, b));
            b_first = b_first || (has(done, rank, b) && !has(done, rank, a));
        }
        return a_first && b_first;
    }

private:
    [[nodiscard]] std::uint32_t bit(std::int64_t rank, std::size_t op) const { return 1u << (first_[static_cast<std::size_t>(rank)] + op); }
    [[nodiscard]] bool has(std::uint32_t done, std::int64_t rank, std::size_t op) const { return (done & bit(rank, op)) != 0; }

    /// The host has issued it, what precedes it on its stream is done, and its deps are.
    [[nodiscard]] bool ready(std::uint32_t done, std::int64_t rank, std::size_t op) const {
        const Program& program = schedule_.program_of(rank);
        const auto deps_done = [&](std::size_t of) {
            for (const OpId dep : program.deps_of(program.ops[of]))
                if (!has(done, rank, dep.index())) return false;
            return true;
        };
        for (std::size_t before = 0; before < op; ++before) {
            if (program.ops[before].kind == OpKind::host_wait && !deps_done(before)) return false;
            if (program.ops[before].stream == program.ops[op].stream && !has(done, rank, before)) return false;
        }
        return deps_done(op);
    }
    /// The op of `rank` that is the same collective of its axis as number `index`, if there is one.
    [[nodiscard]] std::optional<std::size_t> nth(std::int64_t rank, AxisId axis, std::size_t index) const {
        const Program& program = schedule_.program_of(rank);
        for (std::size_t op = 0; op < program.ops.size(); ++op)
            if (program.ops[op].kind == OpKind::collective && program.collective_of(program.ops[op]).axis == axis && index-- == 0) return op;
        return std::nullopt;
    }
    /// What completes together with this op; 0 if it cannot now.
    [[nodiscard]] std::uint32_t event(std::uint32_t done, std::int64_t rank, std::size_t op) const {
        if (has(done, rank, op) || !ready(done, rank, op)) return 0;
        const Program& program = schedule_.program_of(rank);
        if (program.ops[op].kind != OpKind::collective) return bit(rank, op);
        const AxisId axis = program.collective_of(program.ops[op]).axis;
        std::size_t index = 0;
        for (std::size_t before = 0; before < op; ++before)
            index += program.ops[before].kind == OpKind::collective && program.collective_of(program.ops[before]).axis == axis;
        std::uint32_t together = 0;
        for (std::int64_t member = 0; member < schedule_.ranks; ++member) {   // every axis here joins all ranks
            const auto other = nth(member, axis, index);
            if (!other || !ready(done, member, *other)) return 0;
            together |= bit(member, *other);
        }
        return together;
    }
    void visit(std::uint32_t done) {
        if (!states_.insert(done).second) return;
        bool moved = false;
        for (std::int64_t rank = 0; rank < schedule_.ranks; ++rank)
            for (std::size_t op = 0; op < schedule_.program_of(rank).ops.size(); ++op)
                if (const std::uint32_t together = event(done, rank, op)) {
                    moved = true;
                    visit(done | together);
                }
        if (!moved && done != (1u << ops_) - 1) deadlock_ = true;
    }

    const Schedule& schedule_;
    std::vector<std::size_t> first_;
    std::size_t ops_ = 0;
    std::set<std::uint32_t> states_;
    bool deadlock_ = false;
};

std::vector<OpId> random_deps(std::size_t ops) {
    std::vector<OpId> deps;
    for (int count = *rc::gen::inRange(0, 3); count > 0 && ops > 0; --count) deps.emplace_back(*rc::gen::inRange<std::size_t>(0, ops));
    return deps;
}

/// One storage, written whole first, so that lifetimes and unwritten bytes are no matter here.
void random_program(Schedule& schedule, std::size_t ops, const std::vector<AxisId>& axes) {
    HandMade p(schedule);
    const StreamId streams[] = {p.compute, p.gather, p.reduce};
    const StorageId a = p.storage("a", 8);
    p.builder.alloc(a);
    const OpId written = p.fill(p.compute, p.slice(a, 0, 8));
    while (p.builder.size() < ops) {
        const StreamId stream = streams[*rc::gen::inRange(0, 3)];
        std::vector<OpId> deps = random_deps(p.builder.size());
        if (*rc::gen::inRange(0, 3) > 0) deps.push_back(written);   // else nearly every schedule races with the first write
        const auto from = *rc::gen::inRange<std::int64_t>(0, 4) * 2, to = *rc::gen::inRange<std::int64_t>(0, 4) * 2;
        switch (*rc::gen::inRange(0, 6)) {
            case 0: p.builder.host_wait(stream, deps); break;
            case 1:
            case 2: p.all_reduce(stream, axes[*rc::gen::inRange<std::size_t>(0, axes.size())], p.slice(a, from, 2), deps); break;
            case 3: p.fill(stream, p.slice(a, to, 2), deps); break;
            default: p.copy(stream, p.slice(a, from, 2), p.slice(a, to, 2), deps);
        }
    }
    p.finish();
}

/// A pair of conflicting ops of one rank that some interleavings order one way and some the other.
bool races(const Schedule& schedule, const Interleavings& all) {
    for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) {
        const Program& program = schedule.program_of(rank);
        std::vector<std::vector<ByteUse>> uses;
        for (const Op& op : program.ops) uses.push_back(uses_of(schedule, program, op, rank));
        for (std::size_t b = 0; b < uses.size(); ++b)
            for (std::size_t a = 0; a < b; ++a)
                if (conflict(uses[a], uses[b]) && all.either_order(rank, a, b)) return true;
    }
    return false;
}

// One rank: what the validator accepts has one outcome, and what it rejects has two.
RC_GTEST_PROP(Interleavings, OfOneRankAgreeWithTheValidator, ()) {
    Schedule schedule;
    const std::vector<AxisId> axes{add_axis(schedule, 1, 1)};
    random_program(schedule, *rc::gen::inRange<std::size_t>(3, kMostOps + 1), axes);
    one_rank_each(schedule);
    const Interleavings all(schedule);
    RC_ASSERT(!all.deadlock());   // program order is always possible
    const bool race = races(schedule, all), accepted = validate(schedule).empty();
    RC_CLASSIFY(accepted, "valid");
    if (accepted == race) RC_FAIL(all_text(validate(schedule)));
}

// Two ranks that reach their collectives in orders of their own.
RC_GTEST_PROP(Interleavings, OfTwoRanksDeadlockWhereTheValidatorSaysSo, ()) {
    Schedule schedule;
    const std::vector<AxisId> axes{add_axis(schedule, 2, 1), add_axis(schedule, 2, 1)};
    for (int rank = 0; rank < 2; ++rank) random_program(schedule, *rc::gen::inRange<std::size_t>(3, kMostOps / 2 + 1), axes);
    one_rank_each(schedule);
    const Interleavings all(schedule);
    const bool accepted = validate_matching(schedule).empty();
    RC_CLASSIFY(accepted, "matching");
    RC_ASSERT(accepted != all.deadlock());
}

// Both ranks run one program: nothing can close a cycle, and a race on one rank is a race of that program.
RC_GTEST_PROP(Interleavings, OfTwoEqualRanksNeverDeadlock, ()) {
    Schedule schedule;
    const std::vector<AxisId> axes{add_axis(schedule, 2, 1), add_axis(schedule, 2, 1)};
    random_program(schedule, *rc::gen::inRange<std::size_t>(3, kMostOps / 2 + 1), axes);
    schedule.ranks = 2;
    schedule.roles.push_back({0, 0, 2});
    const Interleavings all(schedule);
    RC_ASSERT(!all.deadlock());
    if (validate(schedule).empty()) RC_ASSERT(!races(schedule, all));
}

}  // namespace
}  // namespace zerosim::schedule::test
