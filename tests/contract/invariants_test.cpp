// What must hold whatever the sizes: stages agree bit for bit, the device hands out what was predicted at every op,
// recomputation, arenas and overlap change nothing but time and memory.
#include "base/error.hpp"
#include "schedule/memory.hpp"
#include "support/same_training.hpp"
#include "support/scenarios.hpp"
#include "support/training.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace zerosim {
namespace {

using strategy::Precision;

void expect_same_bits(const test::Trained& a, const test::Trained& b, const std::string& what) {
    EXPECT_EQ(a.losses, b.losses) << what;
    EXPECT_EQ(a.norms, b.norms) << what;
    EXPECT_EQ(a.hashes, b.hashes) << what;
}

class Stages : public testing::TestWithParam<std::tuple<bool, int, double>> {};

// collective.order = rank, one micro-batch: the same sums in the same order at every stage.
TEST_P(Stages, TrainTheSameBits) {
    const auto [gpt2, ranks, clip] = GetParam();
    std::optional<test::Trained> first;
    for (int stage = 0; stage < 4; ++stage) {
        auto s = test::scenario(gpt2 ? test::tiny_gpt2() : test::tiny_llama(), stage, ranks);
        s.training.clip_gradients = clip;
        s.strategy.bucket_cap_mib = 0.003;
        auto trained = test::train(s);
        if (first) expect_same_bits(trained, *first, fmt::format("stage {} of {} ranks", stage, ranks));
        else first = std::move(trained);
    }
}

TEST_P(Stages, OfSeveralMicroBatchesAgreeInPairs) {
    const auto [gpt2, ranks, clip] = GetParam();
    std::vector<test::Trained> trained;
    for (int stage = 0; stage < 4; ++stage) {
        auto s = test::scenario(gpt2 ? test::tiny_gpt2() : test::tiny_llama(true), stage, ranks);
        s.training.clip_gradients = clip;
        s.training.gradient_accumulation = 3;
        trained.push_back(test::train(s));
    }
    expect_same_bits(trained[0], trained[1], "stages 0 and 1");
    expect_same_bits(trained[2], trained[3], "stages 2 and 3");
    for (const auto& [name, norm] : trained[0].final_norms) EXPECT_NEAR(trained[2].final_norms.at(name) / norm, 1.0, 2e-5) << name;
}

INSTANTIATE_TEST_SUITE_P(All, Stages, testing::Combine(testing::Bool(), testing::Values(1, 2, 3, 4, 5, 8), testing::Values(0.0, 0.1)));

// More ranks than elements in a unit: some shards are padding alone.
TEST(EmptyShards, TrainLikeStageZero) {
    auto model = test::tiny_llama();
    model.layers = 1;
    model.hidden = model.heads = model.kv_heads = 2;
    model.head_dim = 2;
    model.heads = model.kv_heads = 1;
    model.feed_forward = 1;
    model.vocabulary = model.real_vocabulary = 3;
    auto s = test::scenario(model, 0, 32);
    s.training.micro_batch = 1;
    const auto reference = test::train(s);
    for (int stage = 1; stage < 4; ++stage) {
        s.strategy.zero_stage = stage;
        s.strategy.bucket_cap_mib = 1e-5;
        const auto schedule = strategy::plan(s);
        EXPECT_TRUE(std::any_of(schedule.layouts.begin(), schedule.layouts.end(), [](const auto& layout) { return layout.shard * 31 >= layout.total; }));
        expect_same_bits(test::train(s), reference, fmt::format("stage {}", stage));
    }
}

struct Variant {
    std::string name;
    std::function<void(strategy::Scenario&)> change;
};

std::vector<Variant> variants() {
    return {{"plain", [](auto&) {}},
            {"recompute full", [](auto& s) { s.training.recompute.every = 1; }},
            {"recompute every 2", [](auto& s) { s.training.recompute.every = 2; }},
            {"no early stop", [](auto& s) { s.training.recompute.every = 1; s.training.recompute_early_stop = false; }},
            {"no overlap", [](auto& s) { s.strategy.overlap_communication = false; }},
            {"prefetch 0", [](auto& s) { s.strategy.prefetch_depth = 0; }},
            {"prefetch 3", [](auto& s) { s.strategy.prefetch_depth = 3; }},
            {"reuse gathered", [](auto& s) { s.strategy.reuse_gathered = true; }},
            {"small buckets", [](auto& s) { s.strategy.bucket_cap_mib = 0.001; }}};
}

TEST(Variants, ChangeNoBitAndHandOutWhatIsPredicted) {
    for (const Precision precision : {Precision::fp32, Precision::bf16_mixed, Precision::bf16, Precision::fp16_mixed})
        for (int stage = 0; stage < 4; ++stage) {
            std::optional<test::Trained> first;
            for (const auto& variant : variants()) {
                auto s = test::scenario(stage % 2 ? test::tiny_gpt2() : test::tiny_llama(), stage, 3);
                s.training.precision = precision;
                s.training.gradient_accumulation = 2;
                s.training.dropout = 0.1;
                s.training.steps = 2;
                s.training.initial_loss_scale = 1024;
                variant.change(s);
                const std::string what = fmt::format("{} stage {} precision {}", variant.name, stage, static_cast<int>(precision));
                auto trained = test::train(s);
                const auto schedule = strategy::plan(s);
                const auto& program = schedule.programs[0];
                const auto predicted = schedule::live_bytes(program, 0, program.ops.size(), 0);
                const auto profile = schedule::memory_profile(schedule, 0);
                for (const auto& rank : trained.ranks) {
                    EXPECT_EQ(rank.peak_bytes, std::max(profile.peak, profile.init_peak)) << what;
                    for (const auto& time : rank.trace.times) ASSERT_EQ(time.live_bytes, predicted[time.op]) << what << " op " << time.op;
                }
                if (first) expect_same_bits(trained, *first, what);
                else first = std::move(trained);
            }
        }
}

TEST(Arena, PlannedAndCachingTrainTheSameBits) {
    const auto s = test::scenario(test::tiny_gpt2(), 3, 4);
    expect_same_bits(test::train(s, true), test::train(s, false), "arena");
}

// The peer comes late to the gather of the second unit: kernels of the first one run meanwhile, however busy the machine is.
int kernels_beside_a_waiting_gather(bool overlap) {
    auto s = test::scenario(test::tiny_gpt2(), 3, 2);
    s.strategy.overlap_communication = overlap;
    const auto schedule = strategy::plan(s);
    const auto& program = schedule.programs[0];
    auto options = test::options_of(s);
    for (const auto& op : program.ops) options.synthetic_seconds.push_back(op.kind == schedule::OpKind::compute ? 2e-3 : 0.0);
    std::vector<std::size_t> gathers;
    for (std::size_t op = program.steady_begin; op < program.ops.size(); ++op)
        if (program.ops[op].kind == schedule::OpKind::collective && program.collective_of(program.ops[op]).kind == CollectiveKind::all_gather) gathers.push_back(op);
    options.fault = exec::Fault{1, gathers.at(1), exec::FaultKind::slow};
    const auto ranks = test::run(schedule, {1, true, "chain", s.model.real_vocabulary}, options);
    int beside = 0;
    for (const auto& gather : ranks[0].trace.times) {
        if (gather.op != gathers[1]) continue;
        for (const auto& kernel : ranks[0].trace.times)
            beside += program.ops[kernel.op].kind == schedule::OpKind::compute && kernel.begin < gather.end && gather.begin < kernel.end;
    }
    return beside;
}

TEST(Overlap, KernelsRunBesideAGatherThatWaits) {
    EXPECT_GT(kernels_beside_a_waiting_gather(true), 0);
    EXPECT_EQ(kernels_beside_a_waiting_gather(false), 0);
}

// The same samples give the same dropout masks wherever they are: one rank with four micro-batches, or four ranks.
TEST(Dropout, DoesNotDependOnTheNumberOfRanks) {
    auto one = test::scenario(test::tiny_gpt2(), 0, 1);
    one.training.dropout = 0.2;
    one.training.gradient_accumulation = 4;
    auto four = test::scenario(test::tiny_gpt2(), 3, 4);
    four.training.dropout = 0.2;
    const auto a = test::train(one), b = test::train(four);
    test::expect_same_training(b, a, {.loss = 1e-5}, "dropout");
}

// An overflow skips the step and halves the scale; training goes on.
TEST(LossScale, OverflowSkipsTheStep) {
    auto s = test::scenario(test::tiny_gpt2(), 2, 2);
    s.training.precision = Precision::fp16_mixed;
    s.training.initial_loss_scale = 0x1p40;
    s.training.steps = 40;
    const auto trained = test::train(s);
    EXPECT_TRUE(trained.ranks[0].steps.front().skipped);
    EXPECT_FALSE(trained.ranks[0].steps.back().skipped);
    EXPECT_LT(trained.losses.back(), trained.losses.front());
}

TEST(Faults, AThrowingRankEndsAllWithItsReason) {
    const auto s = test::scenario(test::tiny_gpt2(), 3, 3);
    const auto schedule = strategy::plan(s);
    auto options = test::options_of(s);
    options.fault = exec::Fault{1, schedule.programs[0].steady_begin + 20, exec::FaultKind::fail};
    try {
        (void)test::run(schedule, {1, true, "chain", s.model.real_vocabulary}, options);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::environment);
        EXPECT_NE(std::string(error.what()).find("injected"), std::string::npos) << error.what();
        EXPECT_NE(std::string(error.what()).find("op"), std::string::npos);
    }
}

TEST(Faults, TheWatchdogNamesTheMissingRank) {
    const auto s = test::scenario(test::tiny_gpt2(), 3, 3);
    const auto schedule = strategy::plan(s);
    auto options = test::options_of(s);
    options.timeout_seconds = 1.5;   // longer than a busy machine keeps a thread waiting
    options.fault = exec::Fault{2, schedule.programs[0].steady_begin + 30, exec::FaultKind::hang};
    try {
        (void)test::run(schedule, {1, true, "chain", s.model.real_vocabulary}, options);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::environment);
        EXPECT_NE(std::string(error.what()).find("missing rank 2"), std::string::npos) << error.what();
        EXPECT_EQ(std::string(error.what()).find("missing rank 0"), std::string::npos) << error.what();
    }
}

TEST(Faults, ANaNLossIsAnErrorThatNamesTheOp) {
    auto s = test::scenario(test::tiny_gpt2(), 3, 2);
    s.training.learning_rate = 1e30;
    s.training.steps = 10;
    try {
        (void)test::train(s);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::verification_failed);
        EXPECT_NE(std::string(error.what()).find("cross_entropy"), std::string::npos) << error.what();
    }
}

}  // namespace
}  // namespace zerosim
