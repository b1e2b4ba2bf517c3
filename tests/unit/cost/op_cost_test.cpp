// cost::op_seconds: what each kind of op is charged for.
#include "base/error.hpp"
#include "cost/cost.hpp"
#include "kernel/work.hpp"
#include "schedule/builder.hpp"

#include <gtest/gtest.h>

namespace zerosim::cost {
namespace {

using cluster::Cluster;
using schedule::Role;

Cluster device() {
    Cluster cluster;
    cluster.device.memory_bytes_per_second = 2e9;
    cluster.device.memory_efficiency = 0.5;
    cluster.device.fp32_flops = 10e12;
    cluster.device.bf16_flops = 100e12;
    cluster.device.fp16_flops = 200e12;
    cluster.device.gemm_efficiency = 0.5;
    cluster.device.attention_efficiency = 0.25;
    cluster.device.kernel_launch_seconds = 2e-6;
    cluster.intra_node = {0, 1e9, 1};
    return cluster;
}

class OpCost : public testing::Test {
protected:
    TensorId tensor(std::int64_t elements, DType type = DType::fp32, schedule::Space space = schedule::Space::device) {
        const StorageId storage = builder.storage("s", elements * size_of(type), pool, Role::workspace);
        builder.at(storage).space = space;
        return builder.tensor("t", storage, type, 1, elements);
    }
    double seconds(OpId id, const Cluster& cluster) {
        if (schedule.programs.empty()) builder.finish();
        return op_seconds(schedule, schedule.programs[0], schedule.programs[0].op(id), cluster);
    }
    schedule::Schedule schedule;
    schedule::ProgramBuilder builder{schedule};
    StreamId stream = builder.stream("compute", schedule::StreamKind::compute);
    PoolId pool = builder.pool("pool", stream);
};

TEST_F(OpCost, bookkeeping_takes_no_device_time) {
    const StorageId storage = builder.storage("s", 1 << 30, pool, Role::activation);
    const OpId ids[] = {builder.alloc(storage), builder.free(storage), builder.mark(stream, "step"),
                        builder.host_wait(stream, {})};
    for (const OpId id : ids) EXPECT_EQ(seconds(id, device()), 0.0);
}

TEST_F(OpCost, copies_and_fills_move_their_bytes) {
    const TensorId a = tensor(1000), b = tensor(1000, DType::bf16);
    const OpId fill = builder.fill(stream, a, 0.0);
    const OpId cast = builder.copy(stream, a, b);
    const OpId sum = builder.copy(stream, b, a, true);
    EXPECT_DOUBLE_EQ(seconds(fill, device()), 2e-6 + 4000e-9);
    EXPECT_DOUBLE_EQ(seconds(cast, device()), 2e-6 + 6000e-9);
    EXPECT_DOUBLE_EQ(seconds(sum, device()), 2e-6 + 10000e-9);
}

TEST_F(OpCost, copies_to_the_host_cross_its_link) {
    Cluster cluster = device();
    cluster.host_link = {1e-6, 1e9, 0.5};
    const OpId offload = builder.copy(stream, tensor(1000), tensor(1000, DType::fp32, schedule::Space::pinned));
    EXPECT_DOUBLE_EQ(seconds(offload, cluster), 1e-6 + 8e-6);
}

TEST_F(OpCost, a_large_gemm_is_bound_by_its_dtypes_peak_and_a_thin_one_by_memory) {
    kernel::Attributes large;
    large.tokens = large.in = large.out = 4096;
    kernel::Attributes thin = large;
    thin.tokens = 1;
    for (const DType type : {DType::fp32, DType::bf16, DType::fp16}) {
        const double peak = type == DType::fp32 ? 10e12 : type == DType::bf16 ? 100e12 : 200e12;
        Cluster cluster = device();
        cluster.device.memory_bytes_per_second = 1e15;
        EXPECT_NEAR(kernel_seconds(kernel::Kernel::linear_forward, large, type, cluster.device),
                    2e-6 + 2 * 4096. * 4096 * 4096 / (0.5 * peak), 1e-9);
        cluster.device.memory_bytes_per_second = 2e9;
        const double bytes = kernel::work(kernel::Kernel::linear_forward, thin, type).bytes;
        EXPECT_GT(bytes, 4096. * 4096 * static_cast<double>(size_of(type)) * 0.99) << "at least the weight";
        EXPECT_DOUBLE_EQ(kernel_seconds(kernel::Kernel::linear_forward, thin, type, cluster.device), 2e-6 + bytes / 1e9);
    }
}

TEST_F(OpCost, an_op_is_charged_in_the_dtype_of_its_operands) {
    kernel::Attributes attributes;
    attributes.tokens = attributes.in = attributes.out = 2048;
    Cluster cluster = device();
    cluster.device.memory_bytes_per_second = 1e15;
    const auto linear = [&](DType type) {
        const TensorId x = tensor(2048 * 2048, type), w = tensor(2048 * 2048, type), y = tensor(2048 * 2048, type);
        const TensorId operands[] = {x, w, TensorId{}, TensorId{}, y};
        return builder.compute(stream, "linear", kernel::Kernel::linear_forward, operands, attributes);
    };
    const OpId single = linear(DType::fp32), half = linear(DType::bf16);
    EXPECT_NEAR((seconds(single, cluster) - 2e-6) / (seconds(half, cluster) - 2e-6), 10.0, 1e-6);
}

TEST_F(OpCost, attention_has_an_efficiency_of_its_own) {
    kernel::Attributes attributes;
    attributes.batch = 1;
    attributes.sequence = 4096;
    attributes.tokens = 4096;
    attributes.heads = attributes.kv_heads = 8;
    attributes.head_dim = 128;
    Cluster cluster = device();
    cluster.device.memory_bytes_per_second = 1e15;
    const double work = kernel::work(kernel::Kernel::attention_forward, attributes, DType::bf16).matrix_flops;
    EXPECT_DOUBLE_EQ(kernel_seconds(kernel::Kernel::attention_forward, attributes, DType::bf16, cluster.device),
                     2e-6 + work / 25e12);
}

TEST_F(OpCost, a_cpu_rank_has_its_share_of_the_cores) {
    Cluster cluster = device();
    cluster.device.is_cpu = true;
    cluster.device.kernel_launch_seconds = 0;
    cluster.cores = 4;
    const OpId fill = builder.fill(stream, tensor(1000), 0.0);
    for (const auto& [ranks, factor] : {std::pair(1, 0.25), std::pair(2, 0.5), std::pair(4, 1.0), std::pair(8, 2.0)}) {
        schedule.ranks = ranks;
        EXPECT_DOUBLE_EQ(seconds(fill, cluster), factor * 4000e-9) << ranks << " ranks";
    }
}

TEST_F(OpCost, a_collective_is_charged_for_its_larger_buffer_over_its_axis) {
    schedule.ranks = 4;
    schedule.axes.push_back({schedule.names.intern("shard"), 4, 1});
    schedule::Collective collective;
    collective.kind = CollectiveKind::all_gather;
    collective.axis = AxisId{0u};
    collective.send = tensor(100);
    collective.receive = tensor(400);
    const OpId gather = builder.collective(stream, "gather", collective);
    EXPECT_DOUBLE_EQ(seconds(gather, device()), 1600 * 0.75 / 1e9);
}

} // namespace
} // namespace zerosim::cost
