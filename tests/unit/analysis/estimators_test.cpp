#include "analysis/estimators.hpp"

#include <gtest/gtest.h>

// The tables of DeepSpeed's documentation ("Memory Requirements", deepspeed.readthedocs.io/en/latest/memory.html): T5-3B, 2,851M parameters,
// 32M in the largest layer, in GiB.

namespace zerosim::analysis {
namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

EstimatorInput t5_3b(std::int64_t gpus, int stage) {
    EstimatorInput input;
    input.parameters = 2'851'000'000;
    input.largest_layer = 32'000'000;
    input.gpus_per_node = gpus;
    input.zero_stage = stage;
    return input;
}

TEST(Estimators, ZeroTwoOnEightGpus) {
    EstimatorInput input = t5_3b(8, 2);
    const Estimate held = estimates(input).front();
    EXPECT_NEAR(held.device_bytes / kGiB, 15.93, 0.02);
    EXPECT_NEAR(held.host_bytes / kGiB, 127.48, 0.1);
    input.offload_optimizer = true;
    const Estimate offloaded = estimates(input).front();
    EXPECT_NEAR(offloaded.device_bytes / kGiB, 5.31, 0.01);
    EXPECT_NEAR(offloaded.host_bytes / kGiB, 127.48, 0.1);
}

TEST(Estimators, ZeroThreeOnOneGpu) {
    EstimatorInput input = t5_3b(1, 3);
    EXPECT_NEAR(estimates(input).front().device_bytes / kGiB, 47.91, 0.02);
    EXPECT_NEAR(estimates(input).front().host_bytes / kGiB, 0.18, 0.01);
    input.offload_optimizer = true;
    EXPECT_NEAR(estimates(input).front().device_bytes / kGiB, 5.43, 0.01);
    EXPECT_NEAR(estimates(input).front().host_bytes / kGiB, 63.74, 0.1);
    input.offload_parameters = true;
    EXPECT_NEAR(estimates(input).front().device_bytes / kGiB, 0.12, 0.01);
    EXPECT_NEAR(estimates(input).front().host_bytes / kGiB, 71.71, 0.1);
}

TEST(Estimators, AccelerateKnowsNoShards) {
    EstimatorInput input = t5_3b(8, 0);
    ASSERT_EQ(estimates(input).size(), 1u);
    EXPECT_DOUBLE_EQ(estimates(input).front().device_bytes, 8.0 * 2'851'000'000);
    input.mixed = false;
    EXPECT_DOUBLE_EQ(estimates(input).front().device_bytes, 16.0 * 2'851'000'000);
}

}  // namespace
}  // namespace zerosim::analysis
