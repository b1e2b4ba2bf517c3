// Models known by groups of parameters and rules of activations: states by the systems' formulas, activations by the rules.
#include "base/error.hpp"
#include "schedule/memory.hpp"
#include "schedule/validate.hpp"
#include "strategy/coarse/planner.hpp"
#include "strategy/plan.hpp"

#include <gtest/gtest.h>

namespace zerosim::strategy {
namespace {

Scenario coarse(System system, int stage, std::int64_t ranks) {
    Scenario s;
    s.model.name = "coarse";
    s.model.positions = 1;
    s.model.coarse.groups = {{"frozen", 1000, false, 1, DType::bf16}, {"trained", 8000, true, 4, DType::bf16}};
    s.model.coarse.rules = {{"kept", "trained", 500, 2, 3, true, 1e6}, {"passing", "frozen", 4000, 2, 1, false, 1e6}};
    s.library = kernel::Library::cuda;
    s.ranks = ranks;
    s.strategy.system = system;
    s.strategy.zero_stage = stage;
    return s;
}

schedule::MemoryProfile profile(const Scenario& s) { return schedule::memory_profile(plan(s), 0); }

TEST(CoarseModel, StatesFollowTheSystemsFormulas) {
    EXPECT_EQ(profile(coarse(System::ddp, 0, 4)).after_step, 2 * 1000 + 12 * 8000);               // fp32 parameters and moments
    EXPECT_EQ(profile(coarse(System::zerosim, 0, 4)).after_step, 2 * 1000 + (2 + 4 + 8) * 8000);  // 2-byte parameters, masters, moments
    EXPECT_EQ(profile(coarse(System::fsdp2, 3, 4)).after_step, (2 * 1000 + 12 * 8000) / 4);
    EXPECT_EQ(profile(coarse(System::zerosim, 3, 4)).after_step, (2 * 1000 + 14 * 8000) / 4);
}

TEST(CoarseModel, BlocksArePaddedOneByOne) {
    Scenario s = coarse(System::fsdp2, 3, 3);   // blocks of 2,000 over 3 ranks: 667 each
    EXPECT_EQ(profile(s).after_step, 2 * 334 + 12 * 4 * 667);
}

TEST(CoarseModel, ActivationsGrowWithTheSamples) {
    Scenario s = coarse(System::ddp, 0, 2);
    const std::int64_t one = profile(s).forward_peak;
    s.training.micro_batch = 3;
    EXPECT_EQ(profile(s).forward_peak - one, 2 * 3 * 500 * 2);   // the saved ones; temporaries come and go before them
}

TEST(CoarseModel, SchedulesAreValidAndSayThatTheyAreCoarse) {
    for (const auto& [system, stage] : {std::pair{System::ddp, 0}, {System::fsdp2, 3}, {System::zerosim, 0}, {System::zerosim, 3}}) {
        const schedule::Schedule schedule = plan(coarse(system, stage, 4));
        const auto violations = schedule::validate(schedule);
        EXPECT_TRUE(violations.empty()) << violations.front().what;
        ASSERT_EQ(schedule.notes.size(), 1u);
        EXPECT_NE(schedule.notes.front().find("coarse"), std::string::npos);
    }
}

TEST(CoarseModel, TechniquesThatNeedLayersAreRefused) {
    const auto refused = [](auto change) {
        Scenario s = coarse(System::fsdp2, 3, 2);
        change(s);
        EXPECT_THROW((void)plan(s), ConfigError);
    };
    refused([](Scenario& s) { s.training.recompute.every = 1; });
    refused([](Scenario& s) { s.training.lora_rank = 8; });
    refused([](Scenario& s) { s.strategy.system = System::deepspeed; });
    refused([](Scenario& s) { s.strategy.zero_stage = 2; });
    refused([](Scenario& s) { s.inference.enabled = true; });
    EXPECT_EQ(coarse_trainable_parameters(coarse(System::ddp, 0, 1).model), 8000);
}

}  // namespace
}  // namespace zerosim::strategy
