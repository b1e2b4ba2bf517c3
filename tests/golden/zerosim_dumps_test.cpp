// What the zerosim system plans for one block at each stage, op by op: freezes the schedule IR by example (docs/schedule.md).
#include "golden.hpp"
#include "schedule/dump.hpp"
#include "schedule/validate.hpp"
#include "support/scenarios.hpp"

#include <fmt/format.h>

namespace zerosim {
namespace {

class ZerosimDump : public testing::TestWithParam<int> {};

TEST_P(ZerosimDump, OfOneBlockOnTwoRanks) {
    auto s = test::scenario(test::tiny_gpt2(), GetParam(), 2);
    s.model.layers = 1;
    s.training.precision = strategy::Precision::bf16_mixed;
    s.training.clip_gradients = 1;
    const auto schedule = strategy::plan(s);
    ASSERT_TRUE(schedule::validate(schedule).empty());
    ASSERT_EQ(schedule.programs.size(), 1u);
    test::expect_golden(fmt::format("zerosim-stage{}.txt", GetParam()), schedule::dump_text(schedule, 0));
}

INSTANTIATE_TEST_SUITE_P(Stages, ZerosimDump, testing::Values(0, 1, 2, 3));

}  // namespace
}  // namespace zerosim
