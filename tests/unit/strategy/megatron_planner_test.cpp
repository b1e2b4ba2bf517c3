// The system megatron: buffers, what is sent, activations by the published formula, and memory of published runs.
#include "base/error.hpp"
#include "schedule/memory.hpp"
#include "schedule/validate.hpp"
#include "sim/memory_replay.hpp"
#include "support/scenarios.hpp"
#include "unit/strategy/steady_bytes.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>

namespace zerosim::strategy {
namespace {

using schedule::OpKind;
using schedule::Role;

Scenario megatron(const model::Model& model, int stage, std::int64_t ranks) {
    Scenario s = test::scenario(model, stage, ranks);
    s.model.implementation = model::Implementation::megatron;
    s.strategy.system = System::megatron;
    s.training.precision = Precision::bf16_mixed;
    s.library = kernel::Library::cuda;
    return s;
}

/// Bytes of a role's storages that are allocated at init or in the first step and never freed.
std::int64_t kept(const schedule::Schedule& schedule, std::string_view name) {
    const schedule::Program& program = schedule.program_of(0);
    std::int64_t bytes = 0;
    for (std::size_t i = 0; i < program.steady_begin; ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.kind != OpKind::alloc && op.kind != OpKind::free) continue;
        const schedule::Storage& storage = program.storage(op.storage);
        if (schedule.names[storage.name] == name) bytes += op.kind == OpKind::alloc ? storage.bytes : -storage.bytes;
    }
    return bytes;
}

// 6 + 12/N bytes a parameter, padding of buckets included (docs/source/api-guide/dist_optimizer.md).
TEST(Megatron, DistributedOptimizerHoldsSixAndTwelveOverN) {
    for (const std::int64_t ranks : {1, 2, 3, 8, 64})
        for (const bool tied : {true, false}) {
            const auto schedule = plan(megatron(test::tiny_gpt2(tied), 1, ranks));
            const std::int64_t parameters = kept(schedule, "param_data") / 2;
            EXPECT_EQ(kept(schedule, "grad_data"), 4 * parameters);
            EXPECT_EQ(parameters % std::lcm(ranks, std::int64_t{128}), 0);
            EXPECT_GE(parameters, model::parameter_count(test::tiny_gpt2(tied)));
            // Rank 0 owns at most a slice of every bucket.
            EXPECT_LE(kept(schedule, "main_parameter"), 4 * parameters / ranks);
            EXPECT_EQ(kept(schedule, "exp_avg"), kept(schedule, "main_parameter"));
            EXPECT_EQ(kept(schedule, "exp_avg_sq"), kept(schedule, "main_parameter"));
        }
}

TEST(Megatron, WithoutItEverythingIsReplicated) {
    const auto schedule = plan(megatron(test::tiny_llama(), 0, 4));
    const std::int64_t parameters = model::parameter_count(test::tiny_llama());
    EXPECT_EQ(kept(schedule, "grad_data"), 4 * parameters);
    for (const char* state : {"main_parameter", "exp_avg", "exp_avg_sq"}) EXPECT_EQ(kept(schedule, state), 4 * parameters) << state;
    EXPECT_EQ(kept(schedule, "param_data"), 0);
}

// Gradients once a step in fp32, parameters once in bf16, whatever the number of micro-batches; replicated: all-reduced once.
TEST(Megatron, SendsOnceAStep) {
    for (const std::int64_t ranks : {2, 3, 8, 64})
        for (const std::int64_t accumulation : {1, 3})
            for (const bool overlap : {true, false}) {
                Scenario s = megatron(test::tiny_gpt2(true), 1, ranks);
                s.training.gradient_accumulation = accumulation;
                s.strategy.overlap_communication = overlap;
                if (overlap) s.strategy.megatron.bucket_elements = 300;
                const auto schedule = plan(s);
                EXPECT_EQ(steady_message_bytes(schedule, CollectiveKind::reduce_scatter), kept(schedule, "grad_data"));
                EXPECT_EQ(steady_message_bytes(schedule, CollectiveKind::all_gather), kept(schedule, "param_data"));
                s.strategy.zero_stage = 0;
                EXPECT_EQ(steady_message_bytes(plan(s), CollectiveKind::all_reduce), 4 * model::parameter_count(s.model));
            }
}

TEST(Megatron, BucketsAreReducedInBackwardAndGatheredInForward) {
    Scenario s = megatron(test::tiny_gpt2(false), 1, 4);
    s.strategy.megatron.bucket_elements = 300;
    const auto schedule = plan(s);
    const schedule::Program& program = schedule.program_of(0);
    int backward = 0, forward = 0;
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.kind != OpKind::collective || program.collective_of(op).scalar) continue;
        if (program.collective_of(op).kind == CollectiveKind::reduce_scatter) backward += op.tags.phase == schedule::Phase::backward;
        if (program.collective_of(op).kind == CollectiveKind::all_gather) forward += op.tags.phase == schedule::Phase::forward;
    }
    EXPECT_GT(backward, 2);
    EXPECT_EQ(forward, backward);
}

/// Live bytes at the end of forward.
std::int64_t after_forward(const Scenario& s) {
    const auto schedule = plan(s);
    const schedule::Program& program = schedule.program_of(0);
    std::int64_t live = 0, last = 0;
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.kind == OpKind::alloc) live += program.storage(op.storage).bytes;
        if (op.kind == OpKind::free) live -= program.storage(op.storage).bytes;
        if (i >= program.steady_begin && op.tags.phase == schedule::Phase::forward) last = live;
    }
    return last;
}

// Korthikanti et al. 2022 (arXiv 2205.05198), eq. 2 without the scores that flash attention never stores: 34 s b h a layer, with dropout;
// and the fp32 statistics of two norms and of the softmax, and the random state, which the paper leaves out.
TEST(Megatron, ActivationsOfALayerFollowThePublishedFormula) {
    model::Model m = test::tiny_gpt2(true);
    m.hidden = 64;
    m.heads = m.kv_heads = 4;
    m.head_dim = 16;
    m.feed_forward = 4 * 64;
    const auto of_layers = [&](std::int64_t layers, double dropout, bool full) {
        m.layers = layers;
        Scenario s = megatron(m, 0, 1);
        s.training.dropout = dropout;
        if (full) s.training.recompute.every = 1;
        return after_forward(s) - 18 * model::parameter_count(m);
    };
    const std::int64_t tokens = 2 * 8, states = 18;
    EXPECT_EQ(states, 2 + 4 + 12);
    const std::int64_t statistics = 4 * 4 * tokens + 4 * tokens * m.heads + 16 + 8;
    EXPECT_EQ(of_layers(5, 0.1, false) - of_layers(4, 0.1, false), 34 * tokens * m.hidden + statistics);
    EXPECT_EQ(of_layers(5, 0, false) - of_layers(4, 0, false), 32 * tokens * m.hidden + statistics) << "two masks of a byte less";
    EXPECT_EQ(of_layers(5, 0.1, true) - of_layers(4, 0.1, true), 2 * tokens * m.hidden) << "full recomputation keeps a layer's input";
}

// The same paper, eq. 1: without a fused kernel 5 a s^2 b bytes more a layer: probabilities 2, dropout's mask 1 and its result 2. Selective recomputation
// drops them again.
TEST(Megatron, UnfusedAttentionKeepsFiveBytesAScore) {
    model::Model m = test::tiny_gpt2(true);
    m.hidden = 64;
    m.heads = m.kv_heads = 4;
    m.head_dim = 16;
    m.positions = 32;
    const auto of_layer = [&](bool standard, double dropout, bool selective) {
        const auto of_layers = [&](std::int64_t layers) {
            m.layers = layers;
            Scenario s = megatron(m, 0, 1);
            s.training.sequence_length = m.positions;
            s.training.standard_attention = standard;
            s.training.dropout = dropout;
            if (selective) s.training.recompute = {1, true};
            return after_forward(s) - 18 * model::parameter_count(m);
        };
        return of_layers(5) - of_layers(4);
    };
    const std::int64_t tokens = 2 * 32, scores = m.heads * m.positions * tokens, flash = 4 * tokens * m.heads + 16 + 8;
    EXPECT_EQ(of_layer(true, 0.1, false) - of_layer(false, 0.1, false), 5 * scores - flash);
    EXPECT_EQ(of_layer(true, 0, false) - of_layer(false, 0, false), 2 * scores - flash);
    EXPECT_EQ(of_layer(true, 0.1, true), of_layer(false, 0.1, true)) << "q, k and v are all that is kept";
}

// SimuMax, docs/b200/b200_release_v1.2_summary.md (MooreThreads/SimuMax@4dcaae5): Megatron-LM on 8 B200, fused cross-entropy, "real max
// allocated". Context parallelism of 8 is not planned: a rank then holds an eighth of each sequence and, as the optimizer is sharded over
// data x context ranks, an eighth of the states, as 8 data-parallel ranks with such sequences do.
TEST(Megatron, MemoryOfPublishedRuns) {
    struct Run {
        std::int64_t layers, hidden, heads, feed_forward, tokens;
        double measured;
    };
    for (const Run& run : {Run{4, 16384, 128, 53248, 32768 / 8, 139.22}, Run{12, 8192, 64, 28672, 131072 / 8, 147.99}}) {
        model::Model m = test::tiny_llama(false);
        m.layers = run.layers;
        m.hidden = run.hidden;
        m.heads = run.heads;
        m.kv_heads = 8;
        m.head_dim = 128;
        m.feed_forward = run.feed_forward;
        m.vocabulary = m.real_vocabulary = 128256;
        m.positions = run.tokens;
        Scenario s = megatron(m, 1, 8);
        s.training.micro_batch = 1;
        s.training.sequence_length = run.tokens;
        s.training.gradient_accumulation = 4;
        s.training.fused_loss = true;
        const auto replay = sim::replay_memory(plan(s).program_of(0));
        const double peak = static_cast<double>(std::max({replay.forward_peak, replay.backward_peak, replay.optimizer_peak})) / (1 << 30);
        EXPECT_NEAR(peak, run.measured, 0.02 * run.measured);
    }
}

TEST(Megatron, SchedulesAreValid) {
    const std::vector<std::function<void(Scenario&)>> changes{
        [](Scenario&) {}, [](Scenario& s) { s.training.gradient_accumulation = 3; }, [](Scenario& s) { s.training.fused_loss = true; },
        [](Scenario& s) { s.strategy.megatron.fuse_gradient_accumulation = false; }, [](Scenario& s) { s.strategy.overlap_communication = false; },
        [](Scenario& s) { s.strategy.megatron.bucket_elements = 300; }, [](Scenario& s) { s.training.recompute.every = 1; },
        [](Scenario& s) { s.training.recompute = {1, true}; }, [](Scenario& s) { s.training.precision = Precision::fp32; },
        [](Scenario& s) { s.strategy.shard_group = 2; }, [](Scenario& s) { s.training.dropout = 0.1; },
        [](Scenario& s) { s.training.clip_gradients = 1; }, [](Scenario& s) { s.training.standard_attention = true; },
        [](Scenario& s) { s.training.standard_attention = true, s.training.dropout = 0.1, s.training.recompute = {1, true}; },
        [](Scenario& s) { s.strategy.megatron.fuse_gradient_accumulation = false, s.training.reduce_precision = DType::bf16; }};
    for (const auto& m : {test::tiny_gpt2(true), test::tiny_gpt2(false), test::tiny_llama(false)})
        for (const int stage : {0, 1})
            for (std::size_t i = 0; i < changes.size(); ++i) {
                Scenario s = megatron(m, stage, 4);
                changes[i](s);
                const auto violations = schedule::validate(plan(s));
                EXPECT_TRUE(violations.empty()) << m.name << " stage " << stage << " change " << i << ": " << (violations.empty() ? "" : violations.front().what);
            }
}

TEST(Megatron, RefusesWhatItHasNot) {
    const auto refused = [](auto change) {
        Scenario s = megatron(test::tiny_llama(), 1, 4);
        change(s);
        EXPECT_THROW(static_cast<void>(plan(s)), ConfigError);
    };
    refused([](Scenario& s) { s.strategy.zero_stage = 2; });
    refused([](Scenario& s) { s.library = kernel::Library::host, s.ranks = 65; });   // each rank has a program of its own there
    refused([](Scenario& s) { s.training.precision = Precision::bf16; });
    refused([](Scenario& s) { s.model.implementation = model::Implementation::torch; });
    refused([](Scenario& s) { s.training.reduce_precision = DType::bf16; });
    refused([](Scenario& s) { s.strategy.system = System::fsdp2, s.strategy.zero_stage = 3, s.strategy.megatron.bucket_elements = 5; });
}

}  // namespace
}  // namespace zerosim::strategy
