// The slowest of N equal devices: grows like the largest of N normal numbers, from a node of 8 on.
#include "cost/slowest_device.hpp"

#include <gtest/gtest.h>

namespace zerosim::cost {
namespace {

cluster::Cluster gpus() {
    cluster::Cluster cluster;
    cluster.device.generation = "hopper";
    return cluster;
}

TEST(SlowestDevice, a_node_is_what_the_constants_were_fitted_on) {
    for (const std::int64_t ranks : {1, 2, 8}) EXPECT_EQ(slowest_device_factor(gpus(), ranks), 1.0);
}

TEST(SlowestDevice, follows_the_largest_of_n_normal_numbers) {
    // Exact means of the largest (Harter 1961): 1.42360 of 8, 2.50759 of 100, 3.24144 of 1,000. 8 % between whiskers = 5.4 deviations.
    const double deviation = 0.08 / 5.4;
    EXPECT_NEAR(slowest_device_factor(gpus(), 100), 1 + deviation * (2.50759 - 1.42360), 3e-4);
    EXPECT_NEAR(slowest_device_factor(gpus(), 1000), 1 + deviation * (3.24144 - 1.42360), 5e-4) << "Blom is an approximation";
    double before = 1;
    for (std::int64_t ranks = 16; ranks <= 1 << 20; ranks *= 2) {
        const double factor = slowest_device_factor(gpus(), ranks);
        EXPECT_GT(factor, before);
        EXPECT_LT(factor, 1.06) << "a million devices";
        before = factor;
    }
}

TEST(SlowestDevice, counts_only_where_devices_wait_for_one_another_and_are_not_drawn) {
    cluster::Cluster free = gpus(), drawn = gpus(), host = gpus(), unknown = gpus();
    free.free_communication = true;
    drawn.variation.device_spread = 0.02;
    host.device.is_cpu = true;
    unknown.device.generation.clear();
    for (const cluster::Cluster& cluster : {free, drawn, host, unknown}) EXPECT_EQ(slowest_device_factor(cluster, 4096), 1.0);
}

} // namespace
} // namespace zerosim::cost
