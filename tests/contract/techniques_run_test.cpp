// Memory techniques that run on host ranks: the same training as without them, and every byte that the device hands out predicted.
#include "schedule/memory.hpp"
#include "strategy/plan.hpp"
#include "support/reference.hpp"
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
            ASSERT_EQ(with.losses.size(), without.losses.size());
            for (std::size_t i = 0; i < with.losses.size(); ++i) {
                EXPECT_NEAR(with.losses[i], without.losses[i], 1e-5 * without.losses[i]) << technique.name;
                EXPECT_NEAR(with.norms[i], without.norms[i], 1e-4 * without.norms[i]) << technique.name;
            }
        }
    }
}

}  // namespace
}  // namespace zerosim
