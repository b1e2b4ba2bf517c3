// A synthetic GPT-2 124M moves the process's resident high-water mark by the predicted bytes: what the device says it handed out
// is memory that the system really gave.
#include "schedule/memory.hpp"
#include "support/training.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace zerosim {
namespace {

model::Model gpt2_124m() {   // https://huggingface.co/openai-community/gpt2/blob/main/config.json
    model::Model m;
    m.family = model::Family::gpt2;
    m.layers = 12, m.hidden = 768, m.heads = m.kv_heads = 12, m.head_dim = 64, m.feed_forward = 3072;
    m.vocabulary = m.real_vocabulary = 50257, m.positions = 1024, m.tied = m.qkv_bias = m.output_bias = m.mlp_bias = true;
    return m;
}

/// A field of /proc/self/status in bytes.
double status_bytes(const std::string& field) {
    std::ifstream status("/proc/self/status");
    for (std::string name; status >> name;) {
        double kibibytes = 0;
        if (name == field + ":" && status >> kibibytes) return kibibytes * 1024;
    }
    return 0;
}

void reset_high_water_mark() { std::ofstream("/proc/self/clear_refs") << "5\n"; }

class ResidentMemory : public testing::TestWithParam<std::tuple<int, int, bool>> {};

TEST_P(ResidentMemory, MovesByThePrediction) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer's shadow memory is resident too";
#endif
    const auto [stage, ranks, planned] = GetParam();
    strategy::Scenario s;
    s.model = gpt2_124m();
    s.ranks = ranks;
    s.strategy.zero_stage = stage;
    s.training.sequence_length = 1024;
    s.training.steps = 2;
    s.training.data = "chain";
    const auto schedule = strategy::plan(s);
    auto options = test::options_of(s);
    options.synthetic_seconds.assign(schedule.programs[0].ops.size(), 0.0);
    reset_high_water_mark();
    const double before = status_bytes("VmRSS");
    (void)test::run(schedule, {1, planned, "chain", s.model.real_vocabulary}, options);
    const double moved = status_bytes("VmHWM") - before;
    const double predicted = static_cast<double>(schedule::memory_profile(schedule, 0).peak * ranks);
    EXPECT_NEAR(moved / predicted, 1.0, 0.05);
}

INSTANTIATE_TEST_SUITE_P(All, ResidentMemory, testing::Values(std::tuple{0, 1, true}, std::tuple{3, 2, true}, std::tuple{2, 2, true}));

}  // namespace
}  // namespace zerosim
