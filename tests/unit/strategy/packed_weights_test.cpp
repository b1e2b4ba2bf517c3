// Quantized and sparse frozen weights: bytes by formula, when they are widened, and which systems shard them.
#include "base/error.hpp"
#include "schedule/validate.hpp"
#include "strategy/adapters.hpp"
#include "technique_jobs.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace zerosim::strategy {
namespace {

TEST(PackedWeights, PackedWeightsByFormula) {
    const std::int64_t h = 512, f = 2048, n = 4 * (4 * h * h + 3 * h * f);   // elements of the blocks' matrices
    const auto parameters = [](WeightFormat format) { return bytes(profile(with(adapted(), [&](Scenario& x) { x.training.frozen_weights = format; })), Role::parameter); };
    const std::int64_t full = parameters(WeightFormat::full), matrices = 4 * 7;
    EXPECT_EQ(full - parameters(WeightFormat::nf4), 2 * n - (n / 2 + 4 * n / 64 + 64 * matrices));
    EXPECT_EQ(full - parameters(WeightFormat::nf4_double), 2 * n - (n / 2 + n / 64 + 4 * n / 64 / 256 + (64 + 4) * matrices));
    const std::int64_t rows = 4 * (4 * h + 2 * f + h), columns = 4 * (4 * h + 2 * h + f);
    EXPECT_EQ(full - parameters(WeightFormat::int8), 2 * n - (n + 4 * rows));
    EXPECT_EQ(full - parameters(WeightFormat::int4), 2 * n - (n / 2 + n / 128 / 2 + 2 * n / 128 + 4 * columns));
    EXPECT_EQ(full - bytes(profile(with(adapted(), [](Scenario& x) { x.model.weight_density = 0.5; })), Role::parameter), 2 * n - (n + n / 8));
}

TEST(PackedWeights, PackedWeightsAreWidenedAgainInBackward) {
    const Scenario nf4 = with(adapted(), [](Scenario& x) { x.training.frozen_weights = WeightFormat::nf4; });
    EXPECT_EQ(ops_named(nf4, "dequantize", schedule::Phase::forward), 4 * 7);
    // The first block's input needs no gradient: its q, k and v are not widened again.
    EXPECT_EQ(ops_named(nf4, "dequantize", schedule::Phase::backward), 4 * 7 - 3);
    const Scenario int4 = with(adapted(), [](Scenario& x) { x.training.frozen_weights = WeightFormat::int4; });
    EXPECT_EQ(ops_named(int4, "dequantize", schedule::Phase::backward), 0) << "AutoGPTQ's layers keep the widened weight";
    EXPECT_GT(replay(int4).after_forward, replay(nf4).after_forward);
}

/// bitsandbytes' quant_storage: the packed bits are sharded, their statistics are on every rank; a gather brings all bits of a block.
TEST(PackedWeights, Fsdp2ShardsPackedBits) {
    const std::int64_t h = 512, f = 2048, block = 4 * h * h + 3 * h * f, n = 4 * block, ranks = 4, matrices = 4 * 7;
    const auto scenario = [](WeightFormat format) {
        return with(job(System::fsdp2, 3), [&](Scenario& x) {
            x.training.lora_rank = 8;
            x.training.frozen_weights = format;
        });
    };
    const auto full = profile(scenario(WeightFormat::full)), nf4 = profile(scenario(WeightFormat::nf4));
    EXPECT_EQ(bytes(full, Role::parameter_shard) - bytes(nf4, Role::parameter_shard), (2 * n - n / 2) / ranks);
    EXPECT_EQ(bytes(nf4, Role::parameter) - bytes(full, Role::parameter), 4 * n / 64 + 64 * matrices);
    EXPECT_EQ(ops_named(scenario(WeightFormat::nf4), "dequantize", schedule::Phase::forward), matrices);
    // torchao's scalers and their factors are sharded too; a code book and a mean of 2-byte floats stay.
    const auto torchao = profile(scenario(WeightFormat::nf4_torchao));
    EXPECT_EQ(bytes(torchao, Role::parameter_shard) - bytes(nf4, Role::parameter_shard), (n / 64 + 2 * n / 64 / 256) / ranks);
    EXPECT_EQ(bytes(torchao, Role::parameter) - bytes(full, Role::parameter), (32 + 2) * matrices);
    const auto violations = schedule::validate(plan(scenario(WeightFormat::nf4_double)));
    EXPECT_TRUE(violations.empty()) << violations.front().what;
    const auto alone = schedule::validate(plan(with(scenario(WeightFormat::nf4), [](Scenario& x) { x.ranks = 1; })));
    EXPECT_TRUE(alone.empty()) << alone.front().what;
}

/// The same vectors of packed bits, partitioned by ZeRO-3: each rank has its part, and statistics whole.
TEST(PackedWeights, Zero3ShardsPackedBits) {
    const std::int64_t h = 512, f = 2048, n = 4 * (4 * h * h + 3 * h * f), ranks = 4, matrices = 4 * 7;
    const auto held = [](WeightFormat format, Role role) {
        return bytes(profile(with(job(System::deepspeed, 3), [&](Scenario& x) {
            x.training.precision = Precision::bf16_mixed;
            x.training.lora_rank = 8;
            x.training.frozen_weights = format;
        })), role);
    };
    EXPECT_EQ(held(WeightFormat::full, Role::parameter_shard) - held(WeightFormat::nf4, Role::parameter_shard), (2 * n - n / 2) / ranks);
    EXPECT_EQ(held(WeightFormat::nf4, Role::parameter) - held(WeightFormat::full, Role::parameter), 4 * n / 64 + 64 * matrices);
}

/// Integers cannot be sharded as parameters, and the text says which formats can.
TEST(PackedWeights, FormatsThatNoLibraryShardsAreRefusedByName) {
    const auto refusal = [](System system, WeightFormat format) -> std::string {
        try {
            (void)plan(with(job(system, 3), [&](Scenario& x) {
                if (system == System::deepspeed) x.training.precision = Precision::bf16_mixed;
                x.training.lora_rank = 8;
                x.training.frozen_weights = format;
            }));
        } catch (const ConfigError& error) {
            return error.what();
        }
        return "";
    };
    for (const System system : {System::fsdp2, System::deepspeed}) {
        EXPECT_NE(refusal(system, WeightFormat::int8).find("Int8Params"), std::string::npos);
        EXPECT_NE(refusal(system, WeightFormat::int4).find("GPTQ"), std::string::npos);
        EXPECT_EQ(refusal(system, WeightFormat::nf4), "");
    }
    EXPECT_EQ(refusal(System::fsdp2, WeightFormat::nf4_torchao), "");
    EXPECT_NE(refusal(System::deepspeed, WeightFormat::nf4_torchao).find("NF4Tensor"), std::string::npos);
}

/// bitsandbytes 0.41 (software litgpt-2023) keeps the input of every quantized layer; q, k and v share one.
TEST(PackedWeights, EarlyBitsandbytesKeepsInputs) {
    const auto scenario = [](const char* software) {
        return with(adapted(), [&](Scenario& x) {
            x.training.frozen_weights = WeightFormat::nf4;
            x.training.lora_targets = {"q", "k", "v", "o", "gate", "up", "down"};
            x.cluster.software = cluster::software(software);
        });
    };
    // With adapters everywhere A's inputs are kept anyway: what is left is the head's, whose logits it no longer widens.
    const std::int64_t tokens = 4 * 512, vocabulary = 32000, h = 512;
    EXPECT_EQ(held_after_forward(scenario("torch-2.6")) - held_after_forward(scenario("litgpt-2023")),
              2 * tokens * vocabulary + (2 * vocabulary * h - vocabulary * h / 2 - 4 * vocabulary * h / 64 - 64) - 2 * tokens * h);
}

}  // namespace
}  // namespace zerosim::strategy
