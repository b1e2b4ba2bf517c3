// The system deepspeed: schedules are valid at every stage and with every option, steps repeat, and what it cannot do is refused.
#include "unit/strategy/deepspeed_scenarios.hpp"

namespace zerosim::strategy {
namespace {

class Stages : public testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(DeepSpeed, Stages, testing::Values(0, 1, 2, 3));

TEST_P(Stages, SchedulesAreValid) {
    for (const auto& model : {test::tiny_gpt2(true), test::tiny_gpt2(false), test::tiny_llama(false), test::tiny_llama(true)})
        for (const auto implementation : {model::Implementation::torch, model::Implementation::huggingface})
            for (const std::int64_t ranks : {1, 2, 3, 8})
                for (const std::int64_t accumulation : {1, 3}) {
                    Scenario s = small(GetParam(), ranks, model);
                    s.model.implementation = implementation;
                    s.training.gradient_accumulation = accumulation;
                    s.training.recompute.every = accumulation == 3 ? 1 : 0;
                    s.training.clip_gradients = accumulation == 3 ? 1 : 0;
                    const auto schedule = plan(s);
                    const auto violations = schedule::validate(schedule);
                    ASSERT_TRUE(violations.empty()) << model.name << " ranks " << ranks << " accumulation " << accumulation << "\n"
                                                    << text_of(violations);
                }
}

TEST_P(Stages, OptionsKeepSchedulesValid) {
    const auto valid = [&](auto change) {
        Scenario s = small(GetParam(), 3);
        s.training.gradient_accumulation = 2;
        change(s);
        const auto violations = schedule::validate(plan(s));
        EXPECT_TRUE(violations.empty()) << text_of(violations);
    };
    valid([](Scenario& s) { s.strategy.deepspeed.overlap = s.strategy.zero_stage != 3; });
    valid([](Scenario& s) { s.strategy.deepspeed.contiguous_gradients = false; });
    valid([](Scenario& s) { s.strategy.deepspeed.reduce_scatter = false; });
    valid([](Scenario& s) { s.strategy.deepspeed.round_robin_gradients = true; });
    valid([](Scenario& s) { s.strategy.deepspeed.multi_rank_allreduce = false; });
    valid([](Scenario& s) { s.strategy.deepspeed.sub_group = 100; });
    valid([](Scenario& s) { s.strategy.deepspeed.reduce_bucket = 1; });
    valid([](Scenario& s) { s.strategy.deepspeed.max_reuse_distance = 0; });
    valid([](Scenario& s) { s.strategy.deepspeed.max_live = 100; });
    valid([](Scenario& s) { s.strategy.deepspeed.prefetch_bucket = 0; });
    valid([](Scenario& s) { s.strategy.deepspeed.persistence_threshold = 0; });
    valid([](Scenario& s) { s.training.precision = Precision::fp32; });
    valid([](Scenario& s) { s.training.precision = Precision::fp16_mixed; });
    valid([](Scenario& s) { s.training.weight_decay = 0; });
    valid([](Scenario& s) { s.ranks = 64; });
}

TEST_P(Stages, AStepEndsAsItBegan) {
    for (const std::int64_t ranks : {1, 3}) {
        const auto schedule = plan(small(GetParam(), ranks));
        const auto profile = schedule::memory_profile(schedule, 0);
        EXPECT_EQ(profile.after_first, profile.after_step);
    }
}

TEST(DeepSpeedRefusals, NameTheOption) {
    const auto refused = [](int stage, auto change) {
        Scenario s = small(stage, 2);
        change(s);
        EXPECT_THROW(static_cast<void>(plan(s)), ConfigError);
    };
    refused(4, [](Scenario&) {});
    refused(2, [](Scenario& s) { s.strategy.parameters_at = Placement::cpu; });
    refused(0, [](Scenario& s) { s.strategy.optimizer_at = Placement::cpu; });
    refused(2, [](Scenario& s) { s.strategy.optimizer_at = Placement::nvme; });
    refused(3, [](Scenario& s) { s.strategy.shard_group = 1; });
    refused(3, [](Scenario& s) { s.training.optimizer = Optimizer::sgd_momentum; });
    refused(3, [](Scenario& s) { s.training.precision = Precision::bf16; });
    refused(2, [](Scenario& s) { s.strategy.system = System::zerosim; }); // a bucket size of DeepSpeed's
}

} // namespace
} // namespace zerosim::strategy
