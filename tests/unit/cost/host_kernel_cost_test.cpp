// cost/host_kernel_cost: what a kernel's elements and rows are, and that an unmeasured one keeps the roofline.
#include "cost/cost.hpp"
#include "cost/host_kernel_cost.hpp"

#include <gtest/gtest.h>

namespace zerosim::cost {
namespace {

using kernel::Attributes;
using kernel::Kernel;

Attributes rows_of(std::int64_t tokens, std::int64_t in, std::int64_t out) {
    Attributes a;
    a.tokens = tokens;
    a.in = in;
    a.out = out;
    return a;
}

TEST(HostKernelCost, products_touch_each_operand_once) {
    const HostWork work = *host_work(Kernel::linear_forward, rows_of(8, 4, 2));
    EXPECT_DOUBLE_EQ(work.matrix_flops, 2 * 8 * 4 * 2);
    EXPECT_DOUBLE_EQ(work.elements, 8 * 4 + 4 * 2 + 8 * 2);
}

TEST(HostKernelCost, attention_computes_tiles_of_128_whole) {
    Attributes a = rows_of(256, 0, 0);
    a.batch = 1;
    a.sequence = 256;
    a.heads = a.kv_heads = 2;
    a.head_dim = 32;
    const HostWork work = *host_work(Kernel::attention_forward, a);
    EXPECT_DOUBLE_EQ(work.elements, 2 * (128 * 128 + 128 * 256)) << "the triangle has 32,896 pairs a head, the tiles 49,152";
    EXPECT_DOUBLE_EQ(work.matrix_flops, 4 * 32 * work.elements);
}

TEST(HostKernelCost, paces_replace_the_roofline_where_they_were_measured) {
    cluster::DeviceSpec core;
    core.is_cpu = true;
    core.fp32_flops = core.vector_flops = 1e9;
    core.memory_bytes_per_second = 1e12;
    const Attributes a = rows_of(100, 0, 50);
    EXPECT_DOUBLE_EQ(kernel_seconds(Kernel::gelu_forward, a, DType::fp32, core), 8 * 5000 / 1e9);
    core.host_kernels.pace(cluster::HostKernel::gelu_forward, false) = {1e-9, 0};
    EXPECT_DOUBLE_EQ(kernel_seconds(Kernel::gelu_forward, a, DType::fp32, core), 5e-6);
    EXPECT_DOUBLE_EQ(kernel_seconds(Kernel::gelu_forward, a, DType::fp32, core, 2), 2.5e-6) << "two threads";
    EXPECT_DOUBLE_EQ(kernel_seconds(Kernel::gelu_forward, a, DType::bf16, core), 8 * 5000 / 1e9) << "measured for 4 bytes alone";
}

TEST(HostKernelCost, streams_run_at_the_rate_of_the_cache_that_holds_them) {
    cluster::DeviceSpec core;
    core.memory_bytes_per_second = 20e9;
    EXPECT_DOUBLE_EQ(host_streaming_rate(1000, core), 20e9);
    core.host_kernels.cache_bytes = 1 << 20;
    core.host_kernels.cached_bytes_per_second = 100e9;
    EXPECT_DOUBLE_EQ(host_streaming_rate(1 << 20, core), 100e9);
    EXPECT_DOUBLE_EQ(host_streaming_rate((1 << 20) + 1, core), 20e9);
}

} // namespace
} // namespace zerosim::cost
