// sim::simulate on schedules small enough to work out by hand.
#include "sim/simulate.hpp"

#include "base/error.hpp"
#include "small_schedules.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::test {
namespace {

using schedule::Schedule;

const std::vector<trace::OpTime>& times(const trace::Trace& trace, std::size_t role = 0) { return trace.ranks.at(role).times; }

TEST(Simulate, one_stream_is_the_sum_of_durations) {
    Schedule schedule;
    SmallProgram program(schedule);
    for (const int ns : {5, 0, 7, 11}) program.work(0, ns);
    program.builder.finish();
    add_roles(schedule, {1});
    const trace::Trace trace = sim::simulate(schedule, unit_cluster(), 3);
    ASSERT_EQ(times(trace).size(), 12u);
    EXPECT_EQ(times(trace).back().end, 3 * 23);
    EXPECT_EQ(times(trace).back().step, 3);
}

TEST(Simulate, streams_overlap_until_a_dep_orders_them) {
    Schedule schedule;
    SmallProgram program(schedule);
    const OpId side = program.work(1, 30);
    program.work(0, 20);
    program.work(0, 5);
    program.work(0, 1, {side});
    program.builder.finish();
    add_roles(schedule, {1});
    const auto trace = sim::simulate(schedule, unit_cluster(), 1);
    EXPECT_EQ(times(trace)[2].end, 25) << "hidden behind the other stream";
    EXPECT_EQ(times(trace)[3].begin, 30) << "waits for the other stream";
    EXPECT_EQ(times(trace)[3].end, 31);
}

TEST(Simulate, segments_run_init_first_steady) {
    Schedule schedule;
    SmallProgram program(schedule);
    program.work(0, 100);
    program.builder.begin_first();
    program.work(0, 10);
    program.builder.begin_steady();
    program.work(0, 1);
    program.builder.finish();
    add_roles(schedule, {1});
    const auto trace = sim::simulate(schedule, unit_cluster(), 3);
    std::vector<std::pair<int, std::uint32_t>> order;
    for (const trace::OpTime& time : times(trace)) order.emplace_back(time.step, time.op);
    EXPECT_THAT(order, testing::ElementsAre(std::pair(0, 0u), std::pair(1, 1u), std::pair(2, 2u), std::pair(3, 2u)));
    EXPECT_EQ(times(trace).back().end, 112);
    EXPECT_EQ(times(sim::simulate(schedule, unit_cluster(), 0)).size(), 1u);
}

TEST(Simulate, ops_start_no_earlier_than_issued_and_host_wait_stops_issuing) {
    Schedule schedule;
    SmallProgram program(schedule);
    const OpId slow = program.work(0, 5000);
    program.work(1, 1);
    const OpId waited[] = {slow};
    program.builder.host_wait(program.streams[1], waited);
    program.work(1, 1);
    program.builder.finish();
    add_roles(schedule, {1});
    const auto trace = sim::simulate(schedule, unit_cluster(1e-6), 1);
    EXPECT_EQ(times(trace)[0].begin, 1000);
    EXPECT_EQ(times(trace)[1].issue, 1000);
    EXPECT_EQ(times(trace)[1].begin, 2000) << "stream free, but issued late";
    EXPECT_EQ(times(trace)[2].issue, 2000);
    EXPECT_EQ(times(trace)[2].end, 6000);
    EXPECT_EQ(times(trace)[3].issue, 6000);
    EXPECT_EQ(times(trace)[3].begin, 7000);
}

TEST(Simulate, a_late_rank_holds_up_its_peers) {
    Schedule schedule;
    for (const int before : {10, 50}) {
        SmallProgram program(schedule);
        program.work(0, before);
        program.gather(0, AxisId{0u}, 20); // 2 ranks: 10 bytes over the link
        program.builder.finish();
    }
    add_roles(schedule, {1, 1});
    add_axis(schedule, 2, 1);
    const auto trace = sim::simulate(schedule, unit_cluster(), 2);
    EXPECT_EQ(times(trace, 0)[1].begin, 10) << "began to wait";
    EXPECT_EQ(times(trace, 0)[1].end, 60);
    EXPECT_EQ(times(trace, 1)[1].begin, 50);
    EXPECT_EQ(times(trace, 1)[1].end, 60);
    EXPECT_EQ(times(trace, 0).back().end, 120);
}

TEST(Simulate, roles_that_share_no_group_do_not_wait) {
    Schedule schedule;
    for (const int before : {10, 50}) {
        SmallProgram program(schedule);
        program.work(0, before);
        program.gather(0, AxisId{0u}, 20);
        program.builder.finish();
    }
    add_roles(schedule, {2, 2});
    add_axis(schedule, 2, 1); // groups {0,1} and {2,3}
    const auto trace = sim::simulate(schedule, unit_cluster(), 1);
    EXPECT_EQ(times(trace, 0)[1].end, 20);
    EXPECT_EQ(times(trace, 1)[1].end, 60);
}

TEST(Simulate, crossed_collectives_are_a_bug_that_names_both_ops) {
    Schedule schedule;
    for (const std::uint32_t first : {0u, 1u}) {
        SmallProgram program(schedule);
        program.gather(0, AxisId{first}, 20);
        program.gather(0, AxisId{1u - first}, 20);
        program.builder.finish();
    }
    add_roles(schedule, {1, 1});
    add_axis(schedule, 2, 1);
    add_axis(schedule, 2, 1);
    try {
        (void)sim::simulate(schedule, unit_cluster(), 1);
        FAIL() << "no deadlock was found";
    } catch (const BugError& error) {
        EXPECT_THAT(error.what(),
                    testing::AllOf(testing::HasSubstr("rank 0 in op 0 'gather'"), testing::HasSubstr("rank 1 in op 0")));
    }
}

TEST(Simulate, live_bytes_follow_device_allocations_only) {
    Schedule schedule;
    SmallProgram program(schedule);
    const StorageId a = program.builder.storage("a", 100, program.pool, schedule::Role::activation);
    const StorageId b = program.builder.storage("b", 7, program.pool, schedule::Role::activation);
    const StorageId pinned = program.builder.storage("p", 1000, program.pool, schedule::Role::staging);
    program.builder.at(pinned).space = schedule::Space::pinned;
    program.builder.alloc(a);
    program.builder.begin_first();
    program.builder.alloc(b);
    program.builder.alloc(pinned);
    program.work(0, 3);
    program.builder.free(b);
    program.builder.free(pinned);
    program.builder.finish();
    add_roles(schedule, {1});
    std::vector<std::int64_t> live;
    const trace::Trace trace = sim::simulate(schedule, unit_cluster(), 2);   // outlives the rows that refer to it
    for (const trace::OpTime& time : times(trace)) live.push_back(time.live_bytes);
    EXPECT_THAT(live, testing::ElementsAre(100, 107, -1, -1, 100, -1, 107, -1, -1, 100, -1));
}

TEST(Simulate, a_free_holds_its_stream_until_other_streams_are_done_with_the_memory) {
    Schedule schedule;
    SmallProgram program(schedule);
    const OpId reader = program.work(1, 40);
    const OpId deps[] = {reader};
    program.builder.free(program.arena, deps);
    program.work(0, 1);
    program.builder.finish();
    add_roles(schedule, {1});
    EXPECT_EQ(times(sim::simulate(schedule, unit_cluster(), 1))[2].begin, 40);
}

TEST(Simulate, a_launch_group_pays_its_latency_once_and_starts_and_ends_together) {
    cluster::Cluster cluster = unit_cluster();
    cluster.collective_launch_seconds = 1e-6;
    for (const bool grouped : {false, true}) {
        Schedule schedule;
        SmallProgram program(schedule);
        program.gather(0, AxisId{0u}, 200, {}, grouped ? 3 : -1);
        program.gather(0, AxisId{0u}, 400, {}, grouped ? 3 : -1);
        program.builder.finish();
        add_roles(schedule, {2});
        add_axis(schedule, 2, 1);
        const auto trace = sim::simulate(schedule, cluster, 1);
        EXPECT_EQ(times(trace)[1].end, (grouped ? 1000 : 2000) + 300);
        EXPECT_EQ(times(trace)[0].end, grouped ? 1300 : 1100);
        EXPECT_EQ(times(trace)[1].begin, grouped ? 0 : 1100);
    }
}

TEST(Simulate, symmetric_ranks_share_one_clock) {
    std::vector<trace::OpTime> rows[2];
    for (const std::int64_t ranks : {2, 131072}) {
        Schedule schedule;
        SmallProgram program(schedule);
        program.work(0, 10);
        program.gather(1, AxisId{0u}, 64);
        program.builder.finish();
        add_roles(schedule, {ranks});
        add_axis(schedule, 2, 1); // the same group size: the same times
        const trace::Trace trace = sim::simulate(schedule, unit_cluster(), 2);
        ASSERT_EQ(trace.ranks.size(), 1u);
        rows[ranks == 2 ? 0 : 1] = times(trace);
    }
    ASSERT_EQ(rows[0].size(), rows[1].size());
    for (std::size_t i = 0; i < rows[0].size(); ++i) EXPECT_EQ(rows[0][i].end, rows[1][i].end);
}

} // namespace
} // namespace zerosim::test
