// FSDP1: what it gathers and reduces, in which dtype and when, and that it trains what the zerosim system trains.
#include "base/error.hpp"
#include "schedule/dump.hpp"
#include "schedule/validate.hpp"
#include "support/same_training.hpp"
#include "support/scenarios.hpp"
#include "support/training.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace zerosim {
namespace {

using schedule::OpKind;
using schedule::Phase;
using strategy::Precision;

strategy::Scenario fsdp(const model::Model& model, int stage, std::int64_t ranks, Precision precision = Precision::bf16_mixed) {
    auto s = test::scenario(model, stage, ranks);
    s.strategy.system = strategy::System::fsdp;
    s.training.precision = precision;
    return s;
}

/// Collectives of a steady step by kind and phase, scalars left out, with their dtype.
std::map<std::tuple<CollectiveKind, Phase, DType>, int> collectives(const schedule::Schedule& s) {
    std::map<std::tuple<CollectiveKind, Phase, DType>, int> counts;
    const schedule::Program& program = s.programs.at(0);
    const auto [begin, end] = program.bounds(schedule::Segment::steady);
    for (std::size_t i = begin; i < end; ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.kind != OpKind::collective || program.collective_of(op).scalar) continue;
        const schedule::Collective& c = program.collective_of(op);
        ++counts[{c.kind, op.tags.phase, program.tensor(c.send).dtype}];
    }
    return counts;
}

TEST(FsdpPlanner, every_schedule_is_valid) {
    for (const int stage : {2, 3})
        for (const std::int64_t ranks : {1, 2, 3, 8})
            for (const bool tied : {true, false})
                for (const int accumulation : {1, 3}) {
                    auto s = fsdp(tied ? test::tiny_gpt2(true) : test::tiny_llama(false), stage, ranks);
                    s.training.gradient_accumulation = accumulation;
                    s.training.recompute.every = accumulation == 3 ? 1 : 0;
                    const auto plan = strategy::plan(s);
                    for (const auto& v : schedule::validate(plan))
                        ADD_FAILURE() << fmt::format("stage {} ranks {} tied {} G {}: ", stage, ranks, tied, accumulation) << v.what;
                }
}

// tiny_gpt2: 2 blocks and a tied root: 3 units. The root stays whole between forward and backward.
TEST(FsdpPlanner, full_shard_gathers_blocks_twice_and_reduces_in_fp32_every_micro_batch) {
    auto s = fsdp(test::tiny_gpt2(true), 3, 4);
    s.training.gradient_accumulation = 2;
    const auto found = collectives(strategy::plan(s));
    EXPECT_EQ(found.at({CollectiveKind::all_gather, Phase::forward, DType::bf16}) + found.at({CollectiveKind::all_gather, Phase::backward, DType::bf16}), 2 * (3 + 2));
    EXPECT_EQ(found.at({CollectiveKind::reduce_scatter, Phase::backward, DType::fp32}), 2 * 3);
    EXPECT_EQ(found.size(), 3u);
}

TEST(FsdpPlanner, shard_grad_op_gathers_once) {
    const auto found = collectives(strategy::plan(fsdp(test::tiny_gpt2(true), 2, 4)));
    EXPECT_EQ(found.at({CollectiveKind::all_gather, Phase::forward, DType::bf16}), 3);
    EXPECT_FALSE(found.contains({CollectiveKind::all_gather, Phase::backward, DType::bf16}));
    EXPECT_EQ(found.at({CollectiveKind::reduce_scatter, Phase::backward, DType::fp32}), 3);
}

TEST(FsdpPlanner, reductions_can_be_in_bf16) {
    auto s = fsdp(test::tiny_gpt2(true), 3, 4);
    s.training.reduce_precision = DType::bf16;
    const auto found = collectives(strategy::plan(s));
    EXPECT_EQ(found.at({CollectiveKind::reduce_scatter, Phase::backward, DType::bf16}), 3);
}

TEST(FsdpPlanner, other_stages_are_refused) {
    for (const int stage : {0, 1}) EXPECT_THROW((void)strategy::plan(fsdp(test::tiny_gpt2(true), stage, 4)), ConfigError) << stage;
}

// Eager kernels add in another order than our own: not bit for bit.
TEST(FsdpPlanner, trains_the_same_parameters_as_zerosim) {
    for (const int stage : {2, 3}) {
        auto s = fsdp(test::tiny_gpt2(true), stage, 2, Precision::fp32);
        s.training.gradient_accumulation = 2;
        const auto own = test::train(s);
        s.strategy.system = strategy::System::zerosim;
        s.strategy.zero_stage = 3;
        const auto reference = test::train(s);
        // Parameters: AdamW's first steps are signs.
        test::expect_same_training(own, reference, {.loss = 1e-5, .parameter_norm = 2e-2}, fmt::format("stage {}", stage));
    }
}

// --- selective recomputation of the eager systems ---

int forward_kernels(const schedule::Schedule& s, kernel::Kernel kernel, bool recompute) {
    const schedule::Program& program = s.programs.at(0);
    const auto [begin, end] = program.bounds(schedule::Segment::steady);
    return static_cast<int>(std::count_if(program.ops.begin() + static_cast<std::ptrdiff_t>(begin), program.ops.begin() + static_cast<std::ptrdiff_t>(end),
                                          [&](const schedule::Op& op) { return op.kind == OpKind::compute && op.kernel == kernel && op.tags.recompute == recompute; }));
}

TEST(SelectiveRecompute, keeps_attention_and_every_second_product) {
    auto s = test::scenario(test::tiny_llama(), 3, 2);   // 3 blocks of 7 products: the 2nd, 4th and 6th are computed again
    s.strategy.system = strategy::System::fsdp2;
    s.training.precision = Precision::bf16_mixed;
    s.library = kernel::Library::cuda;
    s.training.recompute = {1, true};
    const auto selective = strategy::plan(s);
    EXPECT_EQ(forward_kernels(selective, kernel::Kernel::attention_forward, true), 0);
    EXPECT_EQ(forward_kernels(selective, kernel::Kernel::attention_forward, false), 3);
    EXPECT_EQ(forward_kernels(selective, kernel::Kernel::linear_forward, true), 3 * 3);
    s.training.recompute = {1, false};
    EXPECT_EQ(forward_kernels(strategy::plan(s), kernel::Kernel::attention_forward, true), 3);
}

TEST(SelectiveRecompute, concerns_the_eager_systems_alone) {
    auto s = test::scenario(test::tiny_llama(), 3, 2);
    s.training.recompute = {1, true};
    EXPECT_THROW((void)strategy::plan(s), ConfigError);
}

} // namespace
} // namespace zerosim
