// PyTorch's systems, run on host ranks: they train what the references and our own system train, and hand out what was predicted.
#include "strategy/plan.hpp"
#include "support/predicted_bytes.hpp"
#include "support/reference.hpp"
#include "support/same_training.hpp"
#include "support/scenarios.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace zerosim {
namespace {

using strategy::Precision;
using strategy::System;
using test::expect_predicted_bytes;

struct Kind {
    System system;
    int stage;
};

constexpr Kind kKinds[] = {{System::ddp, 0}, {System::ddp, 1}, {System::fsdp, 2}, {System::fsdp, 3}, {System::fsdp2, 2}, {System::fsdp2, 3}};

std::string name_of(const Kind& kind) {
    constexpr std::string_view kNames[] = {"zerosim", "ddp", "fsdp", "fsdp2", "deepspeed", "megatron"};
    return fmt::format("{} {}", kNames[static_cast<std::size_t>(kind.system)], kind.stage);
}

strategy::Scenario eager(strategy::Scenario s, const Kind& kind, model::Implementation implementation) {
    s.strategy.system = kind.system;
    s.strategy.zero_stage = kind.stage;
    s.model.implementation = implementation;
    s.strategy.bucket_cap_mib = 0.01;
    return s;
}

class EagerTrajectory : public testing::TestWithParam<std::tuple<const char*, int, model::Implementation, Kind>> {
protected:
    [[nodiscard]] strategy::Scenario scenario() const {
        const auto [name, ranks, implementation, kind] = GetParam();
        return eager(test::scenario_of(reference().json, ranks, kind.stage), kind, implementation);
    }
    [[nodiscard]] static test::Reference reference() { return test::Reference(std::get<0>(GetParam())); }
};

TEST_P(EagerTrajectory, Fp32FollowsTheReference) { EXPECT_LE(test::worst_error(test::train(scenario()), reference().json, false), 1e-4); }

TEST_P(EagerTrajectory, Bf16MixedFollowsTheLoss) {
    auto s = scenario();
    s.training.precision = Precision::bf16_mixed;
    EXPECT_LE(test::worst_error(test::train(s), reference().json, true), 0.02);
}

#ifdef __SANITIZE_THREAD__
INSTANTIATE_TEST_SUITE_P(Some, EagerTrajectory, testing::Combine(testing::Values("gpt-micro"), testing::Values(4), testing::Values(model::Implementation::torch),
                                                                 testing::Values(Kind{System::fsdp2, 3})));
#else
INSTANTIATE_TEST_SUITE_P(All, EagerTrajectory,
                         testing::Combine(testing::Values("gpt-micro", "gpt-micro-noclip", "llama-micro"), testing::Values(1, 4),
                                          testing::Values(model::Implementation::torch, model::Implementation::huggingface), testing::ValuesIn(kKinds)));
INSTANTIATE_TEST_SUITE_P(Megatron, EagerTrajectory,
                         testing::Combine(testing::Values("gpt-micro", "gpt-micro-noclip", "llama-micro"), testing::Values(1, 4), testing::Values(model::Implementation::megatron),
                                          testing::Values(Kind{System::megatron, 0}, Kind{System::megatron, 1})));
#endif

struct Variant {
    std::string name;
    std::function<void(strategy::Scenario&)> change;
};

std::vector<Variant> variants() {
    return {{"plain", [](auto&) {}},
            {"clipping", [](auto& s) { s.training.clip_gradients = 0.1; }},
            {"micro-batches", [](auto& s) { s.training.gradient_accumulation = 3; }},
            {"recompute", [](auto& s) { s.training.recompute.every = 1; }},
            {"selective recompute", [](auto& s) { s.training.recompute = {1, true}; }},
            {"bucket views", [](auto& s) { s.strategy.gradient_as_bucket_view = s.strategy.system == System::ddp; }},
            {"foreach", [](auto& s) { s.training.optimizer = strategy::Optimizer::adamw_foreach; }},
            {"momentum", [](auto& s) { s.training.optimizer = strategy::Optimizer::sgd_momentum; }}};
}

// The same losses from every system, whatever it saves, recomputes or reduces; and every byte as predicted.
class EagerVariants : public testing::TestWithParam<std::tuple<bool, model::Implementation, int>> {};

TEST_P(EagerVariants, TrainLikeOurOwnSystemAndHandOutWhatIsPredicted) {
    const auto [gpt2, implementation, ranks] = GetParam();
    for (const Variant& variant : variants()) {
        auto own = test::scenario(gpt2 ? test::tiny_gpt2() : test::tiny_llama(), 0, ranks);
        variant.change(own);
        const bool momentum = own.training.optimizer == strategy::Optimizer::sgd_momentum;   // our own system has AdamW alone
        own.training.optimizer = strategy::Optimizer::adamw;
        own.training.recompute.selective = own.strategy.gradient_as_bucket_view = false;
        std::optional<test::Trained> expected;
        if (!momentum) expected = test::train(own);
        for (const Kind& kind : kKinds) {
            auto s = eager(test::scenario(own.model, kind.stage, ranks), kind, implementation);
            variant.change(s);
            const std::string what = fmt::format("{}, {}, {} ranks, gpt2 {}, implementation {}", variant.name, name_of(kind), ranks, gpt2, static_cast<int>(implementation));
            auto trained = test::train(s);
            expect_predicted_bytes(strategy::plan(s), trained.ranks, what);
            if (!expected) expected = std::move(trained);
            else test::expect_same_training(trained, *expected, {.loss = 1e-4, .gradient_norm = 1e-3}, what);
        }
    }
}

#ifdef __SANITIZE_THREAD__
INSTANTIATE_TEST_SUITE_P(Some, EagerVariants, testing::Combine(testing::Values(true), testing::Values(model::Implementation::torch), testing::Values(3)));
#else
INSTANTIATE_TEST_SUITE_P(All, EagerVariants, testing::Combine(testing::Bool(), testing::Values(model::Implementation::torch, model::Implementation::huggingface),
                                                              testing::Values(1, 2, 3, 8)));
#endif

// Every system and stage that host ranks can run, on 1 to 8 of them: the same training, every byte as predicted, nothing left behind.
class EverySystem : public testing::TestWithParam<std::tuple<Kind, int>> {};

TEST_P(EverySystem, TrainsTheSameAndHandsOutWhatIsPredicted) {
    const auto [kind, ranks] = GetParam();
    for (const bool gpt2 : {false, true}) {
        auto own = test::scenario(gpt2 ? test::tiny_gpt2() : test::tiny_llama(), 0, ranks);
        own.training.steps = 2;
        own.training.gradient_accumulation = 2;
        const auto expected = test::train(own);
        auto s = own;
        s.strategy.system = kind.system;
        s.strategy.zero_stage = kind.stage;
        if (kind.system == System::megatron) s.model.implementation = model::Implementation::megatron;
        const std::string what = fmt::format("{} on {} ranks, gpt2 {}", name_of(kind), ranks, gpt2);
        const auto schedule = strategy::plan(s);
        const auto trained = test::train(s);
        expect_predicted_bytes(schedule, trained.ranks, what);
        test::expect_same_training(trained, expected, {.loss = 1e-4}, what);
        // Nothing that a steady step allocates outlives it.
        for (const auto& program : schedule.programs) EXPECT_EQ(schedule::live_bytes(program, program.steady_begin, program.ops.size(), 0).back(), 0) << what;
    }
}

#ifdef __SANITIZE_THREAD__
INSTANTIATE_TEST_SUITE_P(Some, EverySystem, testing::Combine(testing::Values(Kind{System::ddp, 1}, Kind{System::fsdp, 3}, Kind{System::fsdp2, 3}, Kind{System::deepspeed, 2}), testing::Values(2)));
#else
INSTANTIATE_TEST_SUITE_P(All, EverySystem,
                         testing::Combine(testing::Values(Kind{System::zerosim, 0}, Kind{System::zerosim, 1}, Kind{System::zerosim, 2}, Kind{System::zerosim, 3},
                                                          Kind{System::ddp, 0}, Kind{System::ddp, 1}, Kind{System::fsdp, 2}, Kind{System::fsdp, 3},
                                                          Kind{System::fsdp2, 2}, Kind{System::fsdp2, 3}, Kind{System::deepspeed, 0}, Kind{System::deepspeed, 1},
                                                          Kind{System::deepspeed, 2}, Kind{System::deepspeed, 3}, Kind{System::megatron, 0},
                                                          Kind{System::megatron, 1}),
                                          testing::Values(1, 2, 3, 4, 8)));
#endif

// Replicas of shards: two groups of two, and the sharded norm is that of one group.
TEST(EagerHsdp, TrainsLikeFullSharding) {
    auto s = eager(test::scenario(test::tiny_llama(), 3, 4), {System::fsdp2, 3}, model::Implementation::torch);
    s.training.clip_gradients = 0.1;
    const auto full = test::train(s);
    s.strategy.shard_group = 2;
    const auto hybrid = test::train(s);
    expect_predicted_bytes(strategy::plan(s), hybrid.ranks, "hsdp");
    // Parameters: AdamW's first steps are signs of gradients.
    test::expect_same_training(hybrid, full, {.loss = 1e-4, .gradient_norm = 1e-3, .parameter_norm = 1e-2}, "hsdp");
}

// Adapters train, and what is frozen stays as it was.
TEST(EagerAdapters, TrainAlone) {
    for (const Kind& kind : {Kind{System::ddp, 0}, Kind{System::fsdp2, 3}}) {
        auto s = eager(test::scenario(test::tiny_llama(), kind.stage, 2), kind, model::Implementation::torch);
        s.training.lora_rank = 2;
        s.training.lora_targets = {"q", "v"};
        s.training.learning_rate = 0.05;
        s.training.steps = 1;
        const auto begun = test::train(s);
        s.training.steps = 12;
        const auto trained = test::train(s);
        EXPECT_LT(trained.losses.back(), trained.losses.front()) << name_of(kind);
        int moved = 0;
        for (const auto& [name, hash] : trained.hashes) {
            const bool adapter = name.ends_with(".A") || name.ends_with(".B");
            if (adapter) moved += begun.hashes.at(name) != hash;
            else EXPECT_EQ(begun.hashes.at(name), hash) << name;
        }
        EXPECT_EQ(moved, 2 * 2 * 3) << name_of(kind);
        expect_predicted_bytes(strategy::plan(s), trained.ranks, name_of(kind));
    }
}

// Shards in host memory: what the device hands out is what was predicted without them.
TEST(EagerOffload, HandsOutWhatIsPredicted) {
    auto s = eager(test::scenario(test::tiny_gpt2(), 3, 3), {System::fsdp2, 3}, model::Implementation::torch);
    s.strategy.parameters_at = s.strategy.optimizer_at = strategy::Placement::cpu;
    const auto schedule = strategy::plan(s);
    EXPECT_TRUE(schedule::validate(schedule).empty());
    auto options = test::options_of(s);
    options.synthetic_seconds.assign(schedule.programs[0].ops.size(), 0.0);
    expect_predicted_bytes(schedule, test::run(schedule, {1, true, "chain", s.model.real_vocabulary}, options), "offload");
    const auto offloaded = test::train(s);
    s.strategy.parameters_at = s.strategy.optimizer_at = strategy::Placement::device;
    const auto kept = test::train(s);
    test::expect_same_training(offloaded, kept, {.loss = 1e-5}, "offload");
}

}  // namespace
}  // namespace zerosim
