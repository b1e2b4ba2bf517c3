// Megatron-LM's system, run on host ranks: it trains what our own system trains, and hands out what was predicted.
#include "schedule/validate.hpp"
#include "strategy/plan.hpp"
#include "support/predicted_bytes.hpp"
#include "support/same_training.hpp"
#include "support/scenarios.hpp"

#include <gtest/gtest.h>

namespace zerosim {
namespace {

strategy::Scenario megatron(strategy::Scenario s) {
    s.strategy.system = strategy::System::megatron;
    s.model.implementation = model::Implementation::megatron;
    s.strategy.megatron.bucket_elements = 700;   // several buckets
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
    {"attention computed again", [](strategy::Scenario& s) { s.training.recompute = {1, true}; }},
    {"one bucket", [](strategy::Scenario& s) {
         s.strategy.overlap_communication = false;
         s.strategy.megatron.bucket_elements = 0;
     }},
    {"gradients added by the hook", [](strategy::Scenario& s) {
         s.strategy.megatron.fuse_gradient_accumulation = false;
         s.training.gradient_accumulation = 2;
     }},
};

class MegatronRun : public testing::TestWithParam<std::tuple<bool, int, int>> {};

TEST_P(MegatronRun, TrainsLikeOurOwnSystemAndHandsOutWhatIsPredicted) {
    const auto [gpt2, stage, ranks] = GetParam();
    for (const Variant& variant : kVariants) {
        auto s = megatron(test::scenario(gpt2 ? test::tiny_gpt2() : test::tiny_llama(), stage, ranks));
        variant.change(s);
        auto own = test::scenario(s.model, 0, ranks);
        own.model.implementation = model::Implementation::torch;
        own.training = s.training;
        own.training.recompute.selective = false;
        const std::string what = fmt::format("{}, stage {}, {} ranks, gpt2 {}", variant.name, stage, ranks, gpt2);
        const auto expected = test::train(own);
        const auto trained = test::train(s);
        test::expect_predicted_bytes(strategy::plan(s), trained.ranks, what);
        test::expect_same_training(trained, expected, {.loss = 1e-4, .gradient_norm = 1e-3, .parameter_norm = 1e-2, .parameter_floor = 1e-6}, what);
    }
}

#ifdef __SANITIZE_THREAD__
INSTANTIATE_TEST_SUITE_P(Some, MegatronRun, testing::Combine(testing::Values(false), testing::Values(1), testing::Values(3)));
#else
INSTANTIATE_TEST_SUITE_P(All, MegatronRun, testing::Combine(testing::Bool(), testing::Values(0, 1), testing::Values(1, 2, 3, 8)));
#endif

// Two instances of the distributed optimizer: their gradients are summed, and each updates what one would.
TEST(MegatronInstances, TrainLikeOne) {
    auto s = megatron(test::scenario(test::tiny_llama(), 1, 4));
    s.training.clip_gradients = 0.1;
    const auto one = test::train(s);
    s.strategy.shard_group = 2;
    const auto two = test::train(s);
    test::expect_predicted_bytes(strategy::plan(s), two.ranks, "two instances");
    test::expect_same_training(two, one, {.loss = 1e-4, .gradient_norm = 1e-3}, "two instances");
}

// fp32 main parameters and gradients beside 2-byte parameters; with gradients reduced in 2 bytes, fp32 copies of this rank's.
TEST(MegatronMixedPrecision, FollowsFp32) {
    for (const bool narrow : {false, true})
        for (const int stage : {0, 1}) {
            auto s = megatron(test::scenario(test::tiny_gpt2(), stage, 3));
            const auto full = test::train(s);
            s.training.precision = strategy::Precision::bf16_mixed;
            if (narrow) {
                s.training.reduce_precision = DType::bf16;
                s.strategy.megatron.fuse_gradient_accumulation = false;
            }
            const auto mixed = test::train(s);
            const std::string what = fmt::format("stage {}, gradients of 2 bytes {}", stage, narrow);
            test::expect_predicted_bytes(strategy::plan(s), mixed.ranks, what);
            test::expect_same_training(mixed, full, {.loss = 0.02}, what);
        }
}

// Kernels replaced by their times: what no host kernel computes (dropout, the fused loss) still takes its memory.
TEST(MegatronSynthetic, HandsOutWhatIsPredicted) {
    for (const int stage : {0, 1})
        for (const int ranks : {1, 2, 3, 8}) {
            auto s = megatron(test::scenario(test::tiny_llama(), stage, ranks));
            s.training.dropout = 0.1;
            s.training.fused_loss = true;
            s.training.precision = strategy::Precision::bf16_mixed;
            const auto schedule = strategy::plan(s);
            EXPECT_TRUE(schedule::validate(schedule).empty());
            auto options = test::options_of(s);
            for (const auto& program : schedule.programs) options.synthetic_seconds.insert(options.synthetic_seconds.end(), program.ops.size(), 0.0);
            const auto done = test::run(schedule, {1, true, "chain", s.model.real_vocabulary}, options);
            test::expect_predicted_bytes(schedule, done, fmt::format("stage {}, {} ranks", stage, ranks));
        }
}

}  // namespace
}  // namespace zerosim
