// Memory techniques that run on host ranks: the same training as without them, and every byte that the device hands out predicted.
#include "schedule/memory.hpp"
#include "strategy/plan.hpp"
#include "support/reference.hpp"
#include "support/same_training.hpp"
#include "support/scenarios.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace zerosim {
namespace {

struct Technique {
    std::string name;
    std::function<void(strategy::Training&)> use;
};

std::vector<Technique> techniques() {
    return {{"3 chunks of the loss", [](auto& t) { t.loss_chunks = 3; }},
            {"chunks and micro-batches", [](auto& t) { t.loss_chunks = 2; t.gradient_accumulation = 2; }},
            {"activations on the host", [](auto& t) { t.offload_activations = true; }},
            {"inputs of recomputed blocks on the host", [](auto& t) { t.offload_activations = true; t.recompute.every = 1; }}};
}

TEST(TechniquesRun, TrainTheSameAndHandOutWhatIsPredicted) {
    for (const auto& [system, stage] : {std::pair{strategy::System::ddp, 0}, std::pair{strategy::System::fsdp2, 3}}) {
        for (const Technique& technique : techniques()) {
            auto s = test::scenario(test::tiny_llama(), stage, 2);
            s.strategy.system = system;
            technique.use(s.training);
            const auto with = test::train(s);
            const auto profile = schedule::memory_profile(strategy::plan(s), 0);
            EXPECT_EQ(with.ranks[0].peak_bytes, std::max({profile.peak, profile.init_peak, profile.first_step_peak})) << technique.name;
            s.training.loss_chunks = 1;
            s.training.offload_activations = false;
            const auto without = test::train(s);
            test::expect_same_training(with, without, {.loss = 1e-5, .gradient_norm = 1e-4}, technique.name);
        }
    }
}

/// Units of their own are gathered and reduced at every call of their module: each chunk of the loss calls the head.
TEST(TechniquesRun, EmbeddingAndHeadAsUnitsOfTheirOwnTrainTheSame) {
    for (const int stage : {2, 3}) {
        for (const std::int64_t chunks : {1, 3}) {
            for (const std::int64_t accumulation : {1, 2}) {
                auto s = test::scenario(test::tiny_llama(), stage, 3);
                s.strategy.system = strategy::System::fsdp2;
                s.training.loss_chunks = chunks;
                s.training.gradient_accumulation = accumulation;
                const auto without = test::train(s);
                s.strategy.wrap_embeddings = true;
                const auto with = test::train(s);
                const auto profile = schedule::memory_profile(strategy::plan(s), 0);
                const std::string label = "stage " + std::to_string(stage) + ", chunks " + std::to_string(chunks) + ", micro-batches " + std::to_string(accumulation);
                EXPECT_EQ(with.ranks[0].peak_bytes, std::max({profile.peak, profile.init_peak, profile.first_step_peak})) << label;
                test::expect_same_training(with, without, {.loss = 1e-5, .gradient_norm = 1e-4}, label);
            }
        }
    }
}

}  // namespace
}  // namespace zerosim
