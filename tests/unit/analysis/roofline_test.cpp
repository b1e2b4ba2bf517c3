#include "analysis/roofline.hpp"

#include "schedule/builder.hpp"
#include "schedule/op_work.hpp"
#include "trace/matching.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace zerosim::analysis {
namespace {

/// A product of 64 x 32 x 16 in bf16, an addition of 64 x 32, a cast of 64 x 32 from fp32; the host is late for the addition.
struct Job {
    schedule::Schedule schedule;
    trace::Trace trace;
};

Job job() {
    using namespace schedule;
    Job result;
    Schedule& schedule = result.schedule;
    ProgramBuilder build(schedule);
    const StreamId compute = build.stream("compute", StreamKind::compute);
    const PoolId pool = build.pool("device", compute);
    const StorageId room = build.storage("room", 1 << 20, pool, Role::activation);
    const TensorId x = build.tensor("x", room, DType::bf16, 64, 32), w = build.tensor("w", room, DType::bf16, 16, 32), y = build.tensor("y", room, DType::bf16, 64, 16);
    const TensorId wide = build.tensor("wide", room, DType::fp32, 64, 32);
    build.begin_first();
    build.begin_steady();
    build.tags.phase = Phase::forward;
    kernel::Attributes product;
    product.tokens = 64;
    product.in = 32;
    product.out = 16;
    build.compute(compute, "product", kernel::Kernel::linear_forward, std::array{x, w, TensorId{}, TensorId{}, y}, product);
    kernel::Attributes sum;
    sum.tokens = 64;
    sum.out = 32;
    build.compute(compute, "sum", kernel::Kernel::add, std::array{x, x, x}, sum);
    build.copy(compute, wide, x);
    schedule.roles.push_back({build.finish(), 0, 1});
    result.trace.ranks.push_back({0, 0, {{1, 0, 0, 0, 100, -1}, {1, 1, 0, 180, 200, -1}, {1, 2, 0, 200, 240, -1}}});
    return result;
}

TEST(Roofline, IntensityBoundAndFractionByHand) {
    const Job j = job();
    const auto steps = timed_steps(j.schedule, j.trace, trace::match_collectives(j.schedule, j.trace), 0);
    cluster::Cluster cluster;
    cluster.device.bf16_flops = 1e12;
    cluster.device.vector_flops = 1e12;
    cluster.device.memory_bytes_per_second = 1e12;
    const auto rows = roofline(steps[0], breakdown(steps[0]), cluster, 1);
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_EQ(rows[0].name, "gemm");
    EXPECT_DOUBLE_EQ(rows[0].flops, 2.0 * 64 * 32 * 16);
    EXPECT_DOUBLE_EQ(rows[0].bytes, 2.0 * (64 * 32 + 32 * 16 + 64 * 16));
    EXPECT_DOUBLE_EQ(rows[0].roof_seconds, 65536e-12);
    EXPECT_DOUBLE_EQ(rows[0].roof_fraction(), 65536e-12 / 100e-9);
    EXPECT_EQ(rows[0].bound, "compute");
    EXPECT_EQ(rows[1].name, "casts");
    EXPECT_DOUBLE_EQ(rows[1].bytes, 64 * 32 * 6.0);
    EXPECT_EQ(rows[1].bound, "memory");
    EXPECT_EQ(rows[2].name, "elementwise");
    EXPECT_EQ(rows[2].bound, "host");   // 80 ns idle before 20 ns of work
}

TEST(Roofline, WhatCompilingFusesDoesNotPassThroughMemory) {
    const Job j = job();
    const auto steps = timed_steps(j.schedule, j.trace, trace::match_collectives(j.schedule, j.trace), 0);
    cluster::Cluster cluster;
    cluster.device.bf16_flops = cluster.device.vector_flops = cluster.device.memory_bytes_per_second = 1e12;
    const auto eager = roofline(steps[0], breakdown(steps[0]), cluster, 1);
    cluster.software.compiled = true;
    cluster.software.compiled_traffic = 0.25;
    const auto compiled = roofline(steps[0], breakdown(steps[0]), cluster, 1);
    ASSERT_EQ(compiled.size(), eager.size());
    for (std::size_t i = 0; i < eager.size(); ++i)
        EXPECT_DOUBLE_EQ(compiled[i].bytes, eager[i].bytes * (eager[i].name == "elementwise" ? 0.25 : 1.0)) << eager[i].name;
    EXPECT_TRUE(std::ranges::any_of(eager, [](const RooflineRow& row) { return row.name == "elementwise"; }));
}

TEST(Roofline, OfACpusCoreTheUnitsOfProductsAndItsOwnCache) {
    const Job j = job();
    const auto steps = timed_steps(j.schedule, j.trace, trace::match_collectives(j.schedule, j.trace), 0);
    cluster::Cluster cluster;
    cluster.cores = 1;
    cluster.device.is_cpu = true;
    cluster.device.fp32_flops = cluster.device.bf16_flops = 1e12;
    cluster.device.vector_flops = 0.1e12;   // what one kernel of this kind reaches is no peak
    cluster.device.memory_bytes_per_second = 1e12;
    cluster.device.host_kernels.cache_bytes = 10'000;
    cluster.device.host_kernels.cached_bytes_per_second = 4e12;
    const auto rows = roofline(steps[0], breakdown(steps[0]), cluster, 1);
    ASSERT_EQ(rows.size(), 3u);
    EXPECT_DOUBLE_EQ(rows[1].roof_seconds, 64 * 32 * 6.0 / 1e12) << "a cast of 12 KiB: from memory";
    EXPECT_DOUBLE_EQ(rows[2].bytes, 64 * 32 * 6.0);
    cluster.device.host_kernels.cache_bytes = 1 << 20;
    const auto cached = roofline(steps[0], breakdown(steps[0]), cluster, 1);
    EXPECT_DOUBLE_EQ(cached[1].roof_seconds, 64 * 32 * 6.0 / 4e12);
    EXPECT_DOUBLE_EQ(cached[0].roof_seconds, 65536e-12) << "products are at the peak of arithmetic either way";
}

TEST(Roofline, HardwareFlopsAreThoseOfProductsAndAttention) {
    const Job j = job();
    EXPECT_DOUBLE_EQ(hardware_flops(j.schedule.programs.front()), 2.0 * 64 * 32 * 16);
}

}  // namespace
}  // namespace zerosim::analysis
