// HostDevice: counts what it hands out, by pool and in all; launches kernels on its threads, also from stream threads.
#include "device/host_device.hpp"

#include "base/error.hpp"

#include <gtest/gtest.h>

#include <thread>

namespace zerosim::device {
namespace {

HostDevice caching(int threads = 1) {
    return HostDevice(
        {.threads = threads, .policy = MemoryPolicy::caching, .pools = {"compute", "gather"}, .arena_bytes = {}, .poison = {}});
}

TEST(HostDevice, CountsRequestedBytesByPool) {
    HostDevice device = caching();
    const PoolId compute(0), gather(1);
    std::byte* a = device.allocate(compute, 1001, -1);
    std::byte* b = device.allocate(gather, 77, -1);
    EXPECT_EQ(device.handed_out_bytes(), 1078);
    device.release(compute, a, 1001);
    EXPECT_EQ(device.handed_out_bytes(), 77);
    EXPECT_EQ(device.handed_out_bytes(compute), 0);
    EXPECT_EQ(device.peak_bytes(), 1078);
    EXPECT_EQ(device.peak_bytes(gather), 77);
    device.reset_peaks();
    EXPECT_EQ(device.peak_bytes(), 77);
    std::byte* c = device.allocate(compute, 10, -1);
    EXPECT_EQ(device.peak_bytes(), 87);
    EXPECT_GE(device.reserved_bytes(compute), 10);
    device.release(compute, c, 10);
    device.release(gather, b, 77);
    EXPECT_EQ(device.handed_out_bytes(), 0);
}

TEST(HostDevice, AReleaseThatFailsIsNotCounted) {
    HostDevice device = caching();
    std::byte* data = device.allocate(PoolId(0), 100, -1);
    EXPECT_THROW(device.release(PoolId(0), data, 50), BugError);
    EXPECT_THROW(device.release(PoolId(1), data, 100), BugError) << "another pool's memory";
    EXPECT_THROW((void)device.allocate(PoolId(2), 1, -1), BugError) << "no such pool";
    EXPECT_EQ(device.handed_out_bytes(), 100);
}

TEST(HostDevice, PlannedArenas) {
    HostDevice device(
        {.threads = 1, .policy = MemoryPolicy::planned, .pools = {"a", "b"}, .arena_bytes = {1024, 0}, .poison = {}});
    std::byte* first = device.allocate(PoolId(0), 512, 512);
    std::byte* second = device.allocate(PoolId(0), 512, 0);
    EXPECT_EQ(second + 512, first);
    EXPECT_THROW((void)device.allocate(PoolId(1), 64, 0), BugError);
    (void)device.allocate(PoolId(1), 0, 0);
    EXPECT_EQ(device.reserved_bytes(PoolId(0)), 1024);
    EXPECT_THROW(HostDevice({.threads = 1, .policy = MemoryPolicy::planned, .pools = {"a"}, .arena_bytes = {}, .poison = {}}),
                 BugError);
}

TEST(HostDevice, LaunchesFromAnotherThreadBesideCopies) {
    HostDevice device = caching(2);
    const std::int64_t count = 100'000;
    const auto tensor = [&](PoolId pool) {
        return TensorView{device.allocate(pool, count * 4, -1), 1, count, count, DType::fp32};
    };
    const TensorView x = tensor(PoolId(0)), y = tensor(PoolId(0)), from = tensor(PoolId(1)), to = tensor(PoolId(1));
    device.fill(x, 1.0);
    device.fill(y, 2.0);
    device.fill(from, 3.0);
    const kernel::Attributes attributes;
    std::thread compute([&] {
        for (int i = 0; i < 50; ++i) {
            const std::vector<TensorView> operands{x, y, y};
            device.launch({kernel::Kernel::add, attributes, operands, {}, {}});
        }
    });
    std::thread copy([&] {
        for (int i = 0; i < 50; ++i) device.copy(from, to, i > 0);
    });
    for (int i = 0; i < 50; ++i) device.release(PoolId(0), device.allocate(PoolId(0), 1000, -1), 1000);
    compute.join();
    copy.join();
    for (std::int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(y.as<float>()[i], 52.0f);
        ASSERT_EQ(to.as<float>()[i], 150.0f);
    }
}

} // namespace
} // namespace zerosim::device
