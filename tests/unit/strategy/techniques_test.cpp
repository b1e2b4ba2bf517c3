// Memory techniques of the frameworks' systems: bytes by formula, and what a system refuses.
#include "base/error.hpp"
#include "schedule/validate.hpp"
#include "strategy/adapters.hpp"
#include "technique_jobs.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace zerosim::strategy {
namespace {

TEST(Techniques, EightBitStatesHaveAnAbsmaxForEvery256Elements) {
    const Scenario s = with(job(), [](Scenario& x) { x.training.optimizer = Optimizer::adamw_8bit; });
    std::int64_t expected = 0;
    for (const model::Parameter& p : model::parameters(s.model)) {
        const std::int64_t n = p.elements();
        expected += n >= 4096 ? n + 4 * ((n + 255) / 256) : 4 * n;
    }
    const auto now = profile(s);
    EXPECT_EQ(bytes(now, Role::first_moment), expected);
    EXPECT_EQ(bytes(now, Role::second_moment), expected);
}

TEST(Techniques, PagedStatesOfLargeTensorsLeaveTheDevice) {
    const Scenario s = with(job(), [](Scenario& x) { x.training.optimizer = Optimizer::adamw_paged; });
    std::int64_t paged = 0, kept = 0;
    for (const model::Parameter& p : model::parameters(s.model)) (p.elements() >= 100'000 ? paged : kept) += 4 * p.elements();
    EXPECT_EQ(bytes(profile(s), Role::first_moment), kept);
    EXPECT_EQ(replay(s).host_peak, 2 * paged);
}

TEST(Techniques, UpdatesInBackwardLeaveNoGradientsAndTheSameStates) {
    const Scenario after = job(), during = with(job(), [](Scenario& x) { x.training.optimizer_in_backward = true; });
    EXPECT_LT(replay(during).after_backward, replay(after).after_backward - 2 * model::parameter_count(after.model) * 9 / 10);
    EXPECT_EQ(bytes(profile(during), Role::first_moment), bytes(profile(after), Role::first_moment));
}

TEST(Techniques, AdaptersOfAllLinearLayers) {
    const Scenario s = with(adapted(), [](Scenario& x) { x.training.lora_targets = {"all"}; });
    const std::int64_t expected = 8 * 4 * (4 * 1024 + 3 * 2560);
    EXPECT_EQ(adapter_parameters(s.model, s.training), expected);
    EXPECT_EQ(bytes(profile(s), Role::first_moment), 2 * expected);
    const Scenario gpt = with(s, [](Scenario& x) { x.model.family = model::Family::gpt2; });
    EXPECT_EQ(adapter_parameters(gpt.model, gpt.training), 8 * 4 * (512 + 1536 + 1024 + 2 * 2560));
    EXPECT_EQ(bytes(profile(gpt), Role::first_moment), 2 * 8 * 4 * (512 + 1536 + 1024 + 2 * 2560));
}

TEST(Techniques, TrainedEmbeddingsAreCopies) {
    const Scenario plain = adapted(), trained = with(adapted(), [](Scenario& x) { x.training.lora_embeddings = true; });
    EXPECT_EQ(bytes(profile(trained), Role::parameter) - bytes(profile(plain), Role::parameter), 2 * 2 * 32000 * 512);
}

TEST(Techniques, DropoutOfAdaptersKeepsAMaskAndTheDroppedInput) {
    const Scenario plain = adapted(), dropped = with(adapted(), [](Scenario& x) { x.training.lora_dropout = 0.1; });
    const std::int64_t elements = 4 * 4 * (2048 * 512);   // layers, adapters, tokens x hidden
    // Without dropout q, k and v share their input, and o's is attention's output. The first block's input needs no gradient: three masks less.
    EXPECT_EQ(held_after_forward(dropped) - held_after_forward(plain), elements * 3 - 4 * 2 * 2048 * 512 - 3 * 2048 * 512);
}

TEST(Techniques, ChunkedAndFusedLossesHoldLessThanAllLogits) {
    const Scenario plain = job(), chunked = with(job(), [](Scenario& x) { x.training.loss_chunks = 8; }), fused = with(job(), [](Scenario& x) { x.training.fused_loss = true; });
    const std::int64_t logits = 2048LL * 32000 * 4;
    EXPECT_LT(replay(chunked).backward_peak, replay(plain).backward_peak - logits) << "one chunk's fp32 gradients at a time";
    EXPECT_LT(replay(fused).after_forward, replay(plain).after_forward - logits + 2 * 32000 * 512 + 2 * 2048 * 512 + (1 << 20)) << "gradients instead of logits";
    EXPECT_LT(replay(fused).backward_peak, replay(chunked).backward_peak);
}

TEST(Techniques, QwensOwnLossWidensNoLogits) {
    const auto own = [](Scenario& x) {
        x.model.architecture = "qwen";
        x.model.fused_qkv = x.model.qkv_bias = true;
    };
    const std::int64_t logits = 2048LL * 32000;
    EXPECT_LT(replay(with(job(), own)).backward_peak, replay(job()).backward_peak - 4 * logits) << "2-byte softmax and gradients";
    const auto autocast = [&](Scenario& x) {
        own(x);
        x.training.precision = Precision::bf16_mixed;
    };
    EXPECT_GT(replay(with(job(), autocast)).forward_peak, 10 * logits) << "logits, their softmax in fp32, and outputs in fp32";
}

TEST(Techniques, EightBitProductsCastTheirOperands) {
    const Scenario s = with(job(System::fsdp2, 3), [](Scenario& x) {
        x.training.precision = Precision::bf16_mixed;
        x.training.fp8_products = true;
        x.cluster.device.fp8_flops = 1e15;
    });
    const auto schedule = plan(s);
    const schedule::Program& program = schedule.program_of(0);
    int casts = 0;
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i)
        casts += program.ops[i].kind == schedule::OpKind::alloc && schedule.names[program.storage(program.ops[i].storage).name] == "fp8_operand";
    EXPECT_EQ(casts, 4 * 7 * 2 * 3) << "both operands of three products of each linear layer";
}

TEST(Techniques, OffloadedActivationsLieInPinnedMemory) {
    const Scenario plain = job(), offloaded = with(job(), [](Scenario& x) { x.training.offload_activations = true; });
    const auto before = replay(plain), now = replay(offloaded);
    EXPECT_EQ(before.host_pinned_peak, 0);
    EXPECT_GT(now.host_pinned_peak, before.after_forward - now.after_forward);
    EXPECT_LT(now.after_forward, before.after_forward);
    EXPECT_EQ(profile(offloaded).after_step, profile(plain).after_step);
    const Scenario checkpointed = with(offloaded, [](Scenario& x) { x.training.recompute.every = 1; });
    EXPECT_LT(replay(checkpointed).host_pinned_peak, now.host_pinned_peak) << "inputs of blocks alone";
}

TEST(Techniques, CompiledBlocksRecomputeTheGate) {
    const Scenario eager = job(System::fsdp2, 3), compiled = with(eager, [](Scenario& x) { x.training.compile = true; });
    EXPECT_EQ(held_after_forward(eager) - held_after_forward(compiled), 4LL * 2 * 2048 * 2048) << "silu(gate) of each block, bf16";
    const auto selective = [](Scenario& x) { x.training.recompute = {1, true}; };
    EXPECT_EQ(held_after_forward(with(eager, selective)) - held_after_forward(with(compiled, selective)), 4LL * 2 * 2048 * 512) << "down's output feeds no backward";
}

std::vector<Scenario> variants() {
    std::vector<Scenario> all;
    for (const Optimizer optimizer : {Optimizer::adamw_8bit, Optimizer::adamw_8bit_paged, Optimizer::adamw_paged}) all.push_back(with(job(), [&](Scenario& x) { x.training.optimizer = optimizer; }));
    for (const WeightFormat format : {WeightFormat::nf4, WeightFormat::nf4_double, WeightFormat::nf4_torchao, WeightFormat::int8, WeightFormat::int4})
        for (const Recompute recompute : {Recompute{0}, Recompute{1}, Recompute{1, true}})
            all.push_back(with(adapted(), [&](Scenario& x) {
                x.training.frozen_weights = format;
                x.training.recompute = recompute;
                x.training.lora_dropout = 0.1;
            }));
    all.push_back(with(adapted(), [](Scenario& x) {
        x.training.precision = Precision::fp16_mixed;
        x.training.frozen_precision = DType::fp16;
        x.training.lora_precision = DType::fp32;
        x.training.lora_embeddings = true;
        x.training.recompute.every = 1;
    }));
    for (const System system : {System::ddp, System::fsdp2})
        for (const int way : {0, 1, 2, 3, 4})
            all.push_back(with(job(system, system == System::ddp ? 0 : 3), [&](Scenario& x) {
                x.training.loss_chunks = way == 0 ? 3 : 1;
                x.training.fused_loss = way == 1;
                x.training.offload_activations = way == 2 || way == 3;
                x.training.recompute.every = way == 3 ? 1 : 0;
                x.training.precision = way == 4 ? Precision::fp16_mixed : Precision::bf16;
                x.training.compile = way == 4;
            }));
    for (const std::int64_t ranks : {1, 3})
        for (const Placement place : {Placement::device, Placement::cpu})
            all.push_back(with(job(System::deepspeed, 3), [&](Scenario& x) {
                x.training.precision = Precision::bf16_mixed;
                x.training.lora_rank = 8;
                x.training.frozen_weights = WeightFormat::nf4_double;
                x.training.recompute.every = 1;
                x.strategy.parameters_at = place;
                x.ranks = ranks;
            }));
    all.push_back(with(job(), [](Scenario& x) { x.training.optimizer_in_backward = true; }));
    all.push_back(with(adapted(), [](Scenario& x) { x.model.weight_density = 0.5; }));
    return all;
}

TEST(Techniques, EveryStepEndsAsItBegan) {
    for (const Scenario& s : variants()) {
        const auto schedule = plan(s);
        const schedule::Program& program = schedule.program_of(0);
        std::vector<int> live(program.storages.size(), 0), at_steady;
        for (std::size_t i = 0; i < program.ops.size(); ++i) {
            if (i == program.steady_begin) at_steady = live;
            const schedule::Op& op = program.ops[i];
            if (op.kind == schedule::OpKind::alloc) {
                ASSERT_EQ(++live[op.storage.index()], 1);
            }
            if (op.kind == schedule::OpKind::free) {
                ASSERT_EQ(--live[op.storage.index()], 0);
            }
            for (const TensorId operand : program.operands_of(op))
                ASSERT_TRUE(!operand.valid() || live[program.tensor(operand).storage.index()] == 1) << schedule.names[op.name];
        }
        EXPECT_EQ(live, at_steady);
    }
}

TEST(Techniques, SchedulesBreakNoRule) {
    for (const Scenario& s : variants()) {
        const auto violations = schedule::validate(plan(s));
        ASSERT_TRUE(violations.empty()) << violations.front().what;
    }
}

TEST(Techniques, WhatASystemCannotDoIsRefused) {
    const auto refused = [](const Scenario& s) { EXPECT_THROW(static_cast<void>(plan(s)), ConfigError); };
    refused(with(job(), [](Scenario& x) { x.training.frozen_weights = WeightFormat::nf4; }));                       // without adapters nothing is frozen
    refused(with(job(), [](Scenario& x) { x.training.lora_dropout = 0.1; }));
    refused(with(adapted(), [](Scenario& x) { x.training.lora_targets = {"qkv"}; }));                                // llama's are separate
    refused(with(adapted(), [](Scenario& x) { x.model.family = model::Family::gpt2; }));                             // gpt2's are one
    refused(with(job(), [](Scenario& x) { x.ranks = 2; }));                                                          // unwrapped
    refused(with(job(), [](Scenario& x) { x.strategy.wrap = x.training.optimizer_in_backward = true; }));
    refused(with(job(), [](Scenario& x) { x.training.loss_chunks = 2; x.training.fused_loss = true; }));
    refused(with(job(), [](Scenario& x) { x.strategy.optimizer_at = x.strategy.parameters_at = Placement::nvme; }));
    refused(with(job(System::fsdp2, 3), [](Scenario& x) { x.training.lora_rank = 8; x.training.frozen_weights = WeightFormat::int4; }));
    refused(with(job(System::zerosim, 3), [](Scenario& x) { x.training.fused_loss = true; }));
}

TEST(Techniques, ModelFlopsOfFrozenParametersHaveNoGradientOfTheirOwn) {
    Scenario s = job();
    const double full = model_flops_per_token(s.model, s.training);
    EXPECT_DOUBLE_EQ(full, model::flops_per_token(s.model, 512));
    s.training.lora_rank = 8;
    const double blocks = 4.0 * (4.0 * 512 * 512 + 3.0 * 512 * 2048), head = 32000.0 * 512, adapters = 4.0 * 8 * 4 * (512 + 512);
    const double attention = full - 6 * (blocks + head);
    EXPECT_DOUBLE_EQ(model_flops_per_token(s.model, s.training), 4 * (blocks + head) + 6 * adapters + attention);
    s.training.lora_embeddings = true; // the head is trained
    EXPECT_DOUBLE_EQ(model_flops_per_token(s.model, s.training), 4 * blocks + 6 * head + 6 * adapters + attention);
}

}  // namespace
}  // namespace zerosim::strategy
