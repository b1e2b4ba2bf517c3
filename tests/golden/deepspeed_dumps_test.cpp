// What DeepSpeed stage 3 issues for one block: gathers of modules, the IPG bucket, the step by sub-groups.
#include "golden.hpp"
#include "schedule/dump.hpp"
#include "schedule/validate.hpp"
#include "support/scenarios.hpp"

namespace zerosim {
namespace {

TEST(DeepSpeedDump, Stage3OfOneBlockOnTwoRanks) {
    auto s = test::scenario(test::tiny_llama(), 3, 2);
    s.model.layers = 1;
    s.strategy.system = strategy::System::deepspeed;
    s.strategy.deepspeed.reduce_bucket = 700;
    s.strategy.deepspeed.persistence_threshold = 20;
    s.strategy.deepspeed.prefetch_bucket = 400;
    s.strategy.deepspeed.max_reuse_distance = 500;
    s.training.precision = strategy::Precision::bf16_mixed;
    const auto schedule = strategy::plan(s);
    ASSERT_TRUE(schedule::validate(schedule).empty());
    const std::string text = schedule::dump_text(schedule, 0);
    test::expect_golden("deepspeed-stage3.txt", text.substr(text.find("segment steady")));
}

} // namespace
} // namespace zerosim
