// DeepSpeed's stages, run on host ranks: they train what our own system trains, and hand out what was predicted.
#include "strategy/plan.hpp"
#include "support/predicted_bytes.hpp"
#include "support/reference.hpp"
#include "support/same_training.hpp"
#include "support/scenarios.hpp"

#include <gtest/gtest.h>

namespace zerosim {
namespace {

strategy::Scenario deepspeed(strategy::Scenario s) {
    s.strategy.system = strategy::System::deepspeed;
    s.strategy.deepspeed.reduce_bucket = 700; // several buckets, and tables that are larger than one
    s.strategy.deepspeed.persistence_threshold = 20;
    s.strategy.deepspeed.prefetch_bucket = 500;
    s.strategy.deepspeed.max_reuse_distance = 600;
    s.strategy.deepspeed.sub_group = 300;
    return s;
}

struct Variant {
    const char* name;
    void (*change)(strategy::Scenario&);
};
constexpr Variant kVariants[] = {
    {"plain", [](strategy::Scenario&) {}},
    {"clipping", [](strategy::Scenario& s) { s.training.clip_gradients = 0.1; }},
    {"micro-batches and recompute",
     [](strategy::Scenario& s) {
         s.training.gradient_accumulation = 3;
         s.training.recompute.every = 1;
     }},
    {"the other overlap", [](strategy::Scenario& s) { s.strategy.deepspeed.overlap = s.strategy.zero_stage != 3; }},
    {"all-reduced buckets", [](strategy::Scenario& s) { s.strategy.deepspeed.reduce_scatter = false; }},
    {"offload and clipping",
     [](strategy::Scenario& s) {
         if (s.strategy.zero_stage == 3) s.strategy.parameters_at = s.strategy.optimizer_at = strategy::Placement::cpu;
         if (s.strategy.zero_stage > 0) s.strategy.optimizer_at = strategy::Placement::cpu;
         s.training.clip_gradients = 0.1;
         s.training.gradient_accumulation = 2;
     }},
    {"gradients where they are", [](strategy::Scenario& s) { s.strategy.deepspeed.contiguous_gradients = false; }},
};

class DeepSpeedRun : public testing::TestWithParam<std::tuple<bool, model::Implementation, int, int>> {};

TEST_P(DeepSpeedRun, TrainsLikeOurOwnSystemAndHandsOutWhatIsPredicted) {
    const auto [gpt2, implementation, ranks, stage] = GetParam();
    for (const Variant& variant : kVariants) {
        auto own = test::scenario(gpt2 ? test::tiny_gpt2() : test::tiny_llama(), 0, ranks);
        auto s = deepspeed(test::scenario(own.model, stage, ranks));
        variant.change(s);
        s.model.implementation = implementation;
        own.training = s.training;
        const std::string what =
            fmt::format("{}, stage {}, {} ranks, gpt2 {}, implementation {}", variant.name, stage, ranks, gpt2, static_cast<int>(implementation));
        const auto expected = test::train(own);
        const auto trained = test::train(s);
        test::expect_predicted_bytes(strategy::plan(s), trained.ranks, what);
        test::expect_same_training(trained, expected, {.loss = 1e-4, .gradient_norm = 1e-3, .parameter_norm = 1e-3, .parameter_floor = 1e-5}, what);
        s.training.precision = strategy::Precision::bf16_mixed;
        const auto mixed = test::train(s);
        test::expect_same_training(mixed, expected, {.loss = 0.02}, what + " bf16");
        test::expect_predicted_bytes(strategy::plan(s), mixed.ranks, what + " bf16");
    }
}

class DeepSpeedTrajectory : public testing::TestWithParam<std::tuple<const char*, int, int>> {};

TEST_P(DeepSpeedTrajectory, FollowsTheReference) {
    const auto [name, ranks, stage] = GetParam();
    const test::Reference reference(name);
    auto s = deepspeed(test::scenario_of(reference.json, ranks, stage));
    s.strategy.deepspeed.reduce_bucket = 20000;
    EXPECT_LE(test::worst_error(test::train(s), reference.json, false), 1e-4);
    s.training.precision = strategy::Precision::bf16_mixed;
    EXPECT_LE(test::worst_error(test::train(s), reference.json, true), 0.02);
}

#ifdef __SANITIZE_THREAD__
// Reference kernels under ThreadSanitizer: half a minute a trajectory.
INSTANTIATE_TEST_SUITE_P(Some, DeepSpeedTrajectory, testing::Combine(testing::Values("gpt-micro"), testing::Values(2), testing::Values(3)));
INSTANTIATE_TEST_SUITE_P(Some, DeepSpeedRun,
                         testing::Combine(testing::Values(false), testing::Values(model::Implementation::torch), testing::Values(3), testing::Values(0, 1, 2, 3)));
#else
INSTANTIATE_TEST_SUITE_P(All, DeepSpeedTrajectory,
                         testing::Combine(testing::Values("gpt-micro", "llama-micro"), testing::Values(1, 2, 4), testing::Values(0, 1, 2, 3)));

INSTANTIATE_TEST_SUITE_P(All, DeepSpeedRun,
                         testing::Combine(testing::Bool(), testing::Values(model::Implementation::torch, model::Implementation::huggingface),
                                          testing::Values(1, 2, 3), testing::Values(0, 1, 2, 3)));
#endif

} // namespace
} // namespace zerosim
