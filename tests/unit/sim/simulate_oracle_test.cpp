// sim::simulate against an event queue, on random small schedules of one to three roles.
#include "event_queue.hpp"
#include "sim/simulate.hpp"
#include "small_schedules.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>
#include <tuple>

namespace zerosim::test {
namespace {

using schedule::Op;
using schedule::OpKind;
using schedule::Program;
using schedule::Schedule;

constexpr int kStreams = 3;

std::vector<OpId> random_deps(std::size_t ops) {
    std::vector<OpId> deps;
    for (int count = *rc::gen::inRange(0, 3); count > 0 && ops > 0; --count)
        deps.emplace_back(*rc::gen::inRange<std::size_t>(0, ops));
    return deps;
}

void random_private_ops(SmallProgram& program) {
    for (int count = *rc::gen::inRange(0, 4); count > 0; --count) {
        const int stream = *rc::gen::inRange(0, kStreams);
        const std::vector<OpId> deps = random_deps(program.builder.size());
        switch (*rc::gen::inRange(0, 6)) {
            case 0: program.builder.host_wait(program.streams[0], deps); break;
            case 1: program.builder.mark(program.streams[static_cast<std::size_t>(stream)], "mark", deps); break;
            default: program.work(stream, *rc::gen::inRange(0, 50), deps);
        }
    }
}

/// All roles have the same collectives in the same order, and ops of their own between them.
Schedule random_schedule(int most_roles = 3) {
    Schedule schedule;
    schedule.one_communicator_per_axis = *rc::gen::arbitrary<bool>();
    std::vector<std::int64_t> counts(static_cast<std::size_t>(*rc::gen::inRange(1, most_roles + 1)));
    for (std::int64_t& count : counts) count = *rc::gen::inRange(1, 4);
    counts[0] += std::accumulate(counts.begin(), counts.end(), std::int64_t{0}) % 2; // even, so that axes of 2 divide
    add_roles(schedule, counts);
    const AxisId axes[] = {add_axis(schedule, schedule.ranks, 1), add_axis(schedule, 2, 1),
                           add_axis(schedule, schedule.ranks / 2, 2), add_axis(schedule, 2, schedule.ranks / 2)};
    struct Shared {
        std::size_t axis;
        std::int64_t slice; // bytes each rank contributes
    };
    std::vector<std::vector<Shared>> segments(3);
    for (auto& segment : segments)
        for (int count = *rc::gen::inRange(0, 4); count > 0; --count)
            segment.push_back({*rc::gen::inRange<std::size_t>(0, 4), *rc::gen::inRange(0, 20)});
    for (std::size_t role = 0; role < counts.size(); ++role) {
        SmallProgram program(schedule, kStreams);
        for (std::size_t segment = 0; segment < segments.size(); ++segment) {
            if (segment == 1) program.builder.begin_first();
            if (segment == 2) program.builder.begin_steady();
            if (segment == 1 && segments[1].empty()) continue; // `first` is empty in all roles or in none
            random_private_ops(program);
            for (const Shared& shared : segments[segment]) {
                const int stream = *rc::gen::inRange(0, kStreams);
                program.gather(stream, axes[shared.axis], shared.slice * schedule.axis(axes[shared.axis]).size,
                               random_deps(program.builder.size()));
                random_private_ops(program);
            }
        }
        program.builder.finish();
    }
    return schedule;
}

RC_GTEST_PROP(SimulateOracle, agrees_with_an_event_queue, ()) {
    const Schedule schedule = random_schedule();
    const std::int64_t issue = *rc::gen::element<std::int64_t>(0, 3, 20);
    const cluster::Cluster cluster = unit_cluster(static_cast<double>(issue) * 1e-9);
    const Duration duration = [&](const Program& program, const Op& op, std::int64_t) {
        if (op.kind != OpKind::collective) return program.tensor(program.operands_of(op)[0]).elements();
        const schedule::Collective& collective = program.collective_of(op);
        const std::int64_t n = schedule.axis(collective.axis).size;
        return program.tensor(collective.receive).elements() / n * (n - 1);
    };
    const trace::Trace expected = simulate_by_events(schedule, 3, duration, issue);
    const trace::Trace actual = sim::simulate(schedule, cluster, 3);
    RC_ASSERT(actual.ranks.size() == expected.ranks.size());
    for (std::size_t role = 0; role < actual.ranks.size(); ++role) {
        const auto& a = actual.ranks[role].times;
        const auto& e = expected.ranks[role].times;
        RC_ASSERT(actual.ranks[role].rank == expected.ranks[role].rank);
        RC_ASSERT(a.size() == e.size());
        for (std::size_t i = 0; i < a.size(); ++i)
            RC_ASSERT(std::tuple(a[i].step, a[i].op, a[i].issue, a[i].begin, a[i].end) ==
                      std::tuple(e[i].step, e[i].op, e[i].issue, e[i].begin, e[i].end));
    }
}

/// The one role of `schedule` as so many roles of one rank each.
Schedule rank_by_rank(Schedule schedule) {
    schedule.roles.clear();
    for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) schedule.roles.push_back({0, rank, 1});
    return schedule;
}

void expect_same_rows(const trace::Trace& actual, const trace::Trace& expected) {
    RC_ASSERT(actual.ranks.size() == expected.ranks.size());
    for (std::size_t i = 0; i < actual.ranks.size(); ++i) {
        RC_ASSERT(actual.ranks[i].rank == expected.ranks[i].rank);
        RC_ASSERT(actual.ranks[i].times.size() == expected.ranks[i].times.size());
        for (std::size_t row = 0; row < actual.ranks[i].times.size(); ++row) {
            const trace::OpTime &a = actual.ranks[i].times[row], &e = expected.ranks[i].times[row];
            RC_ASSERT(std::tuple(a.step, a.op, a.issue, a.begin, a.end) == std::tuple(e.step, e.op, e.issue, e.begin, e.end));
        }
    }
}

RC_GTEST_PROP(SimulateOracle, clocks_of_every_rank_agree_with_an_event_queue, ()) {
    const Schedule schedule = random_schedule(1);
    const std::int64_t issue = *rc::gen::element<std::int64_t>(0, 3, 20);
    cluster::Cluster cluster = unit_cluster(static_cast<double>(issue) * 1e-9);
    std::vector<std::int64_t> factors;
    for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) {
        factors.push_back(*rc::gen::inRange<std::int64_t>(1, 4));
        cluster.variation.slow_ranks.push_back({rank, rank, static_cast<double>(factors.back())});
    }
    const Duration duration = [&](const Program& program, const Op& op, std::int64_t rank) {
        if (op.kind != OpKind::collective) return program.tensor(program.operands_of(op)[0]).elements() * factors[static_cast<std::size_t>(rank)];
        const schedule::Collective& collective = program.collective_of(op);
        const std::int64_t n = schedule.axis(collective.axis).size;
        return program.tensor(collective.receive).elements() / n * (n - 1);
    };
    expect_same_rows(sim::simulate(schedule, cluster, 3), simulate_by_events(rank_by_rank(schedule), 3, duration, issue));
}

RC_GTEST_PROP(SimulateOracle, ranks_that_do_not_vary_have_the_times_of_their_role, ()) {
    const Schedule schedule = random_schedule(1);
    cluster::Cluster cluster = unit_cluster(3e-9);
    cluster.compute_slowdown = 0.6;
    const trace::Trace together = sim::simulate(schedule, cluster, 3);
    cluster.variation.slow_ranks.push_back({0, schedule.ranks - 1, 1.0});
    cluster.variation.links.push_back({cluster::LinkTier::network, 0, 0, 1.0});
    const trace::Trace apart = sim::simulate(schedule, cluster, 3);
    RC_ASSERT(static_cast<std::int64_t>(apart.ranks.size()) == schedule.ranks);
    for (const trace::RankTrace& rank : apart.ranks) {
        trace::Trace one, role;
        one.ranks = {rank};
        role.ranks = together.ranks;
        role.ranks.front().rank = rank.rank;
        expect_same_rows(one, role);
    }
    for (const trace::RankStatistics& rank : apart.statistics) RC_ASSERT(rank.waited == 0 && rank.caused == 0);
}

// Links that serve by order of issue know anomalies, as any list schedule does: without contention there are none.
RC_GTEST_PROP(SimulateOracle, more_bandwidth_is_never_slower_on_one_communicator, ()) {
    Schedule schedule = random_schedule();
    schedule.one_communicator_per_axis = true;
    for (Program& program : schedule.programs)
        for (schedule::Collective& collective : program.collectives) collective.axis = AxisId{0u};
    cluster::Cluster cluster = unit_cluster(3e-9);
    const trace::Trace before = sim::simulate(schedule, cluster, 3);
    cluster.intra_node.bytes_per_second *= *rc::gen::inRange(1, 5);
    cluster.device.memory_bytes_per_second *= *rc::gen::inRange(1, 5);
    const trace::Trace after = sim::simulate(schedule, cluster, 3);
    for (std::size_t role = 0; role < before.ranks.size(); ++role)
        for (std::size_t i = 0; i < before.ranks[role].times.size(); ++i)
            RC_ASSERT(after.ranks[role].times[i].end <= before.ranks[role].times[i].end);
}

} // namespace
} // namespace zerosim::test
