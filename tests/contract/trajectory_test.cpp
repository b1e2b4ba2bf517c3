// Every ZeRO stage on every number of ranks follows the float64 reference trajectories of tests/truth/training.
#include "support/reference.hpp"

#include <gtest/gtest.h>

namespace zerosim {
namespace {

using test::Reference;
using test::scenario_of;
using test::worst_error;

class Trajectory : public testing::TestWithParam<std::tuple<const char*, int, int>> {};

TEST_P(Trajectory, Fp32FollowsTheReference) {
    const auto [name, ranks, stage] = GetParam();
    const Reference reference(name);
    EXPECT_LE(worst_error(test::train(scenario_of(reference.json, ranks, stage)), reference.json, false), 1e-4);
}

TEST_P(Trajectory, Bf16MixedFollowsTheLoss) {
    const auto [name, ranks, stage] = GetParam();
    const Reference reference(name);
    auto s = scenario_of(reference.json, ranks, stage);
    s.training.precision = strategy::Precision::bf16_mixed;
    EXPECT_LE(worst_error(test::train(s), reference.json, true), 0.02);
}

#ifdef __SANITIZE_THREAD__
// Reference kernels under ThreadSanitizer take minutes for one of these: one number of ranks shows what the others would.
INSTANTIATE_TEST_SUITE_P(Some, Trajectory, testing::Combine(testing::Values("gpt-micro"), testing::Values(4), testing::Values(3)));
#else
INSTANTIATE_TEST_SUITE_P(All, Trajectory, testing::Combine(testing::Values("gpt-micro", "gpt-micro-noclip", "llama-micro"), testing::Values(1, 2, 4, 8), testing::Values(0, 1, 2, 3)));
#endif

}  // namespace
}  // namespace zerosim
