// Ages of a collective's buffers in a cache: small programs whose reuse distances can be counted by hand.
#include "sim/cache_age.hpp"
#include "sim/durations.hpp"
#include "small_schedules.hpp"

#include <gtest/gtest.h>

namespace zerosim::sim {
namespace {

constexpr std::int64_t kMiB = 1 << 20, kCache = 16 * kMiB; // of two ranks: 8 MiB each

cluster::Cluster cpu_cluster() {
    cluster::Cluster cluster = test::unit_cluster();
    cluster.device.is_cpu = true;
    cluster.transport.cache_bytes = kCache;
    cluster.transport.cold_bytes_per_second = 0.5e9;
    cluster.transport.cold_latency_seconds = 1e-6;
    return cluster;
}

/// A step: a gather of 1 MiB, `between` bytes of other work, and the gather of the same buffer again.
struct Example {
    explicit Example(std::int64_t between) {
        schedule::ProgramBuilder builder(schedule);
        const StreamId stream = builder.stream("compute", schedule::StreamKind::compute);
        const PoolId pool = builder.pool("pool", stream);
        const StorageId buffer = builder.storage("buffer", kMiB, pool, schedule::Role::gathered_parameter);
        const StorageId other = builder.storage("other", std::max<std::int64_t>(between, 1), pool, schedule::Role::activation);
        builder.alloc(buffer);
        builder.alloc(other);
        builder.begin_first();
        builder.begin_steady();
        schedule::Collective gather;
        gather.kind = CollectiveKind::all_gather;
        gather.axis = test::add_axis(schedule, 2, 1);
        gather.receive = gather.send = builder.tensor("buffer", buffer, DType::uint8, 1, kMiB);
        builder.collective(stream, "first", gather);
        if (between > 0) builder.fill(stream, builder.tensor("other", other, DType::uint8, 1, between), 0.0);
        builder.collective(stream, "second", gather);
        builder.finish();
        test::add_roles(schedule, {2});
    }
    [[nodiscard]] std::vector<cost::Coldness> ages(const cluster::Cluster& cluster) const {
        std::vector<cost::Coldness> found;
        const schedule::Program& program = schedule.programs[0];
        const auto all = coldness_of_collectives(schedule, program, cluster);
        for (std::size_t i = 0; i < all.size(); ++i)
            if (program.ops[i].kind == schedule::OpKind::collective) found.push_back(all[i]);
        return found;
    }
    schedule::Schedule schedule;
};

TEST(CacheAge, a_buffer_that_was_just_used_is_warm) {
    const auto ages = Example(0).ages(cpu_cluster());
    ASSERT_EQ(ages.size(), 2U);
    EXPECT_EQ(ages[1].data, 0);
    EXPECT_EQ(ages[1].transport, 0);
}

TEST(CacheAge, work_larger_than_a_ranks_part_of_the_cache_drives_everything_out) {
    const auto ages = Example(20 * kMiB).ages(cpu_cluster());
    EXPECT_GT(ages[1].data, 0.99);
    EXPECT_GT(ages[1].transport, 0.99);
    EXPECT_LT(ages[0].data, 0.1) << "the gather at a step's end is the last thing that the next one's beginning finds";
}

TEST(CacheAge, a_step_that_fits_as_a_whole_stays_in_the_cache) {
    const auto ages = Example(3 * kMiB).ages(cpu_cluster());
    EXPECT_LT(ages[1].data, 0.01);
    EXPECT_LT(ages[1].transport, 0.01);
}

TEST(CacheAge, more_work_between_two_uses_never_makes_the_second_warmer) {
    double before = 0;
    for (std::int64_t between = 0; between <= 12 * kMiB; between += kMiB) {
        const double age = Example(between).ages(cpu_cluster())[1].data;
        EXPECT_GE(age, before - 1e-12) << between;
        before = age;
    }
}

TEST(CacheAge, a_cores_own_cache_forgets_before_the_shared_one) {
    cluster::Cluster cluster = cpu_cluster();
    cluster.device.host_kernels.cache_bytes = kMiB;
    const cost::Coldness found = Example(3 * kMiB).ages(cluster)[1];
    EXPECT_LT(found.data, 0.01);
    EXPECT_GT(found.own_data, 0.99);
    EXPECT_GT(found.own_transport, 0.99);
    const cost::Coldness gone = Example(40 * kMiB).ages(cluster)[1];
    EXPECT_GE(gone.own_data, gone.data);
    EXPECT_GE(gone.own_transport, gone.transport);
}

TEST(CacheAge, what_the_shared_cache_has_lost_a_larger_own_one_has_too) {
    cluster::Cluster cluster = cpu_cluster();
    cluster.device.host_kernels.cache_bytes = kCache;
    const cost::Coldness gone = Example(20 * kMiB).ages(cluster)[1];
    EXPECT_EQ(gone.own_data, gone.data);
    EXPECT_EQ(gone.own_transport, gone.transport);
}

TEST(CacheAge, announced_messages_leave_the_path_of_short_ones_cold) {
    cluster::Cluster cluster = cpu_cluster();
    cluster.transport.eager_bytes = 4000;
    const auto sum_after = [&](std::int64_t bytes) { // a step: other work, a gather of `bytes`, a gather of 1 KiB
        schedule::Schedule schedule;
        schedule::ProgramBuilder builder(schedule);
        const StreamId stream = builder.stream("compute", schedule::StreamKind::compute);
        const PoolId pool = builder.pool("pool", stream);
        const StorageId large = builder.storage("large", bytes, pool, schedule::Role::gathered_parameter), small = builder.storage("small", 1024, pool, schedule::Role::gathered_parameter);
        const StorageId other = builder.storage("other", 20 * kMiB, pool, schedule::Role::activation);
        for (const StorageId storage : {large, small, other}) builder.alloc(storage);
        builder.begin_first();
        builder.begin_steady();
        schedule::Collective gather;
        gather.kind = CollectiveKind::all_gather;
        gather.axis = test::add_axis(schedule, 2, 1);
        builder.fill(stream, builder.tensor("other", other, DType::uint8, 1, 20 * kMiB), 0.0);
        gather.receive = gather.send = builder.tensor("large", large, DType::uint8, 1, bytes);
        builder.collective(stream, "large", gather);
        gather.receive = gather.send = builder.tensor("small", small, DType::uint8, 1, 1024);
        builder.collective(stream, "small", gather);
        builder.finish();
        test::add_roles(schedule, {2});
        const auto all = coldness_of_collectives(schedule, schedule.programs[0], cluster);
        return all.back().transport;
    };
    EXPECT_LT(sum_after(2048), 0.01);
    EXPECT_NEAR(sum_after(64 * 1024), 0.31, 0.03) << "docs/collectives.md: about a third of what a message needs is its path's own";
}

TEST(CacheAge, what_is_sent_decides_not_what_is_written) {
    schedule::Schedule schedule;
    schedule::ProgramBuilder builder(schedule);
    const StreamId stream = builder.stream("compute", schedule::StreamKind::compute);
    const PoolId pool = builder.pool("pool", stream);
    const StorageId parameters = builder.storage("parameters", 2 * kMiB, pool, schedule::Role::parameter), other = builder.storage("other", 20 * kMiB, pool, schedule::Role::activation);
    builder.alloc(parameters);
    builder.alloc(other);
    builder.begin_first();
    builder.begin_steady();
    schedule::Collective gather; // of a shard that was updated right before, into a buffer of which the rest is old
    gather.kind = CollectiveKind::all_gather;
    gather.axis = test::add_axis(schedule, 2, 1);
    gather.receive = builder.tensor("parameters", parameters, DType::uint8, 1, 2 * kMiB);
    gather.send = builder.tensor("shard", parameters, DType::uint8, 1, kMiB);
    builder.fill(stream, builder.tensor("other", other, DType::uint8, 1, 20 * kMiB), 0.0);
    builder.fill(stream, gather.send, 0.0);
    builder.collective(stream, "updated", gather);
    builder.finish();
    test::add_roles(schedule, {2});
    EXPECT_LT(coldness_of_collectives(schedule, schedule.programs[0], cpu_cluster()).back().data, 0.01);
}

TEST(CacheAge, more_ranks_of_a_node_have_less_of_its_cache) {
    Example example(5 * kMiB);
    const double two = example.ages(cpu_cluster())[1].data;
    example.schedule.ranks = 4;
    EXPECT_GT(example.ages(cpu_cluster())[1].data, two);
}

TEST(CacheAge, a_collective_pays_for_what_is_cold) {
    const Example example(40 * kMiB);
    const schedule::Program& program = example.schedule.programs[0];
    const Durations found = durations(example.schedule, program, cpu_cluster());
    const std::int64_t slice = kMiB / 2; // bytes are nanoseconds, and two each where they are cold
    EXPECT_EQ(found.device.back(), 1000 + 2 * slice);
    EXPECT_LT(found.device[program.steady_begin], 2 * slice);
}

TEST(CacheAge, clusters_that_say_nothing_of_cold_links_and_GPUs_have_no_ages) {
    cluster::Cluster unknown = cpu_cluster(), gpu = cpu_cluster();
    unknown.transport.cold_bytes_per_second = 0;
    gpu.device.is_cpu = false;
    EXPECT_TRUE(Example(kMiB).ages(unknown).empty());
    EXPECT_TRUE(Example(kMiB).ages(gpu).empty());
}

TEST(CacheAge, where_no_collective_takes_time_none_is_walked_for) {
    cluster::Cluster free = cpu_cluster();
    free.free_communication = true;
    EXPECT_TRUE(Example(kMiB).ages(free).empty());
    Example alone(kMiB);
    alone.schedule.ranks = 1;
    EXPECT_TRUE(alone.ages(cpu_cluster()).empty());
}

} // namespace
} // namespace zerosim::sim
