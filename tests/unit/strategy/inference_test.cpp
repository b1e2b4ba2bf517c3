// Inference: bytes of weights and cache by formula, what a device can serve, and published measurements.
#include "base/error.hpp"
#include "config/cluster_file.hpp"
#include "config/model_file.hpp"
#include "schedule/memory.hpp"
#include "schedule/validate.hpp"
#include "sim/memory_replay.hpp"
#include "strategy/inference/cache_size.hpp"
#include "strategy/inference/capacity.hpp"
#include "strategy/inference/planner.hpp"
#include "strategy/plan.hpp"

#include <gtest/gtest.h>

namespace zerosim::strategy {
namespace {

using Cache = Inference::Cache;
using CachePrecision = Inference::CachePrecision;

const config::SearchPaths& paths() {
    static const config::SearchPaths all{{ZEROSIM_SOURCE_DIR "/configs"}};
    return all;
}

Scenario serving(const std::string& model, const std::string& cluster, std::int64_t batch, std::int64_t prompt, std::int64_t tokens, Cache cache = Cache::contiguous) {
    Scenario s;
    s.model = config::load_model(model, paths()).model;
    s.cluster = config::load_cluster(cluster, paths());
    s.library = kernel::Library::cuda;
    s.inference.enabled = true;
    s.inference.batch = batch;
    s.inference.prompt_tokens = prompt;
    s.inference.new_tokens = tokens;
    s.inference.cache = cache;
    return s;
}

std::int64_t role_bytes(const schedule::RoleBytes& roles, schedule::Role role) { return roles[static_cast<std::size_t>(role)]; }

TEST(InferenceCache, BytesOfATokenByKindOfAttention) {
    EXPECT_EQ(cached_token_bytes(serving("llama2-7b", "h100-sxm", 1, 8, 8)) * 32, 524288);                         // every head: 0.5 MiB a token
    EXPECT_EQ(cached_token_bytes(serving("llama3.1-8b", "h100-sxm", 1, 8, 8)) * 32, 131072);                       // 8 of 32 heads
    EXPECT_EQ(cached_token_bytes(serving("deepseek-v3", "h100-sxm", 1, 8, 8, Cache::paged)) * 61, 70272);          // 61 x 576 x 2
    EXPECT_EQ(cached_token_bytes(serving("deepseek-v3", "h100-sxm", 1, 8, 8)), 2 * 128 * (192 + 128));             // transformers keeps them expanded
    Scenario narrow = serving("llama2-7b", "h100-sxm", 1, 8, 8);
    narrow.inference.precision = CachePrecision::fp8;
    EXPECT_EQ(cached_token_bytes(narrow), 2 * 4096);
    narrow.inference.precision = CachePrecision::int8;
    EXPECT_EQ(cached_token_bytes(narrow), 2 * 4096 + 64 * 4);                                                       // scale and zero of each head
}

TEST(InferenceCache, WindowsAndBlocks) {
    const Scenario whole = serving("gemma2-2b", "h100-sxm", 1, 6000, 8);
    EXPECT_EQ(cached_tokens(whole, 0, 6008), 4096);
    EXPECT_EQ(cached_tokens(whole, 1, 6008), 6008);
    const Scenario paged = serving("llama2-7b", "h100-sxm", 1, 8, 8, Cache::paged);
    EXPECT_EQ(cached_tokens(paged, 0, 17), 32);
    EXPECT_EQ(sequence_cache_bytes(paged, 17), 32 * 524288);
}

TEST(Inference, HoldsWeightsAndTheCacheOfTheBatch) {
    const Scenario s = serving("llama3.2-1b", "h100-sxm", 4, 500, 100);
    const schedule::Schedule schedule = plan(s);
    const schedule::MemoryProfile profile = schedule::memory_profile(schedule, 0);
    EXPECT_EQ(role_bytes(profile.after_step_by_role, schedule::Role::parameter), 2 * parameter_count(s.model));
    EXPECT_EQ(role_bytes(profile.after_step_by_role, schedule::Role::kv_cache), 0) << "the batch is done";
    // The last token: all of the cache, and one layer's twice while it is copied.
    const schedule::Program& program = schedule.program_of(0);
    std::int64_t cache = 0, most = 0;
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.kind != schedule::OpKind::alloc && op.kind != schedule::OpKind::free) continue;
        const schedule::Storage& storage = program.storage(op.storage);
        if (storage.role != schedule::Role::kv_cache) continue;
        cache += op.kind == schedule::OpKind::alloc ? storage.bytes : -storage.bytes;
        most = std::max(most, cache);
    }
    const std::int64_t token = 4 * cached_token_bytes(s);   // of the batch, one layer
    EXPECT_EQ(most, 16 * token * 600 + token / 2 * 599);
}

TEST(Inference, LargestBatchFitsAndTheNextDoesNot) {
    Scenario s = serving("llama3.2-1b", "a100-sxm-40gb", 1, 4000, 96);
    const std::int64_t most = largest_batch(s);
    ASSERT_GT(most, 1);
    const auto total = [&](std::int64_t batch) {
        s.inference.batch = batch;
        const schedule::MemoryProfile profile = schedule::memory_profile(plan(s), 0);
        return std::max(profile.peak, profile.first_step_peak) + s.cluster.device.context_bytes;
    };
    EXPECT_LE(total(most), s.cluster.device.memory_bytes);
    EXPECT_GT(total(most + 1), s.cluster.device.memory_bytes);
}

// vLLM PR #2031: 7,351 blocks of 16 tokens on an A100 80 GB at 0.9; the profile run had 256 sequences in 4,096 tokens.
TEST(Inference, PagedPoolOfLlama2OnAnA100) {
    const Scenario s = serving("llama2-7b", "a100-sxm-80gb", 256, 16, 1, Cache::paged);
    const double blocks = static_cast<double>(paged_pool_bytes(s)) / (16.0 * 524288);
    EXPECT_NEAR(blocks, 7351, 0.01 * 7351);
}

// litgpt's inference table (tutorials/resource-tables.md), A100 40 GB, batch 1: max reserved, decimal GB.
TEST(Inference, ReservedBytesOfLitgpt) {
    const auto reserved = [](const char* model, WeightFormat format) {
        Scenario s = serving(model, "a100-sxm-40gb", 1, 8, 50);
        s.training.frozen_weights = format;
        const schedule::Schedule schedule = plan(s);
        return static_cast<double>(sim::replay_memory(schedule.program_of(0)).peak_reserved) / 1e9;
    };
    constexpr double kTolerance = 0.05;
    EXPECT_NEAR(reserved("llama2-7b", WeightFormat::full) / 13.52, 1, kTolerance);
    EXPECT_NEAR(reserved("llama2-7b", WeightFormat::nf4) / 4.57, 1, kTolerance);
    EXPECT_NEAR(reserved("llama2-7b", WeightFormat::nf4_double) / 4.26, 1, kTolerance);
    EXPECT_NEAR(reserved("llama2-13b", WeightFormat::full) / 26.21, 1, kTolerance);
    EXPECT_NEAR(reserved("llama2-13b", WeightFormat::nf4) / 8.32, 1, kTolerance);
    EXPECT_NEAR(reserved("llama2-13b", WeightFormat::nf4_double) / 7.72, 1, kTolerance);
}

TEST(Inference, ShardedWeightsAreGatheredInEveryForward) {
    Scenario s = serving("llama3.2-1b", "h100-sxm", 2, 100, 10);
    s.ranks = 8;
    s.strategy.system = System::fsdp2;
    s.strategy.zero_stage = 3;
    const schedule::Schedule schedule = plan(s);
    const schedule::Program& program = schedule.program_of(0);
    std::int64_t gathered = 0;
    for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i)
        if (program.ops[i].kind == schedule::OpKind::collective) gathered += schedule::message_bytes(program, program.collective_of(program.ops[i]));
    EXPECT_EQ(gathered, 3 * 2 * parameter_count(s.model));   // the prefill and two tokens, all sizes divide by 8
    const schedule::RoleBytes roles = schedule::memory_profile(schedule, 0).after_step_by_role;
    EXPECT_EQ(role_bytes(roles, schedule::Role::parameter_shard), 2 * parameter_count(s.model) / 8);
    EXPECT_TRUE(schedule::validate(schedule).empty());
    s.strategy.parameters_at = s.strategy.optimizer_at = Placement::cpu;   // from host memory
    const schedule::RoleBytes offloaded = schedule::memory_profile(plan(s), 0).after_step_by_role;
    EXPECT_EQ(role_bytes(offloaded, schedule::Role::parameter_shard), 0);
}

TEST(Inference, EveryFamilyPlansWithBothCaches) {
    for (const std::string& name : paths().names("models"))
        for (const Cache cache : {Cache::contiguous, Cache::paged}) {
            Scenario s = serving(name, "h100-sxm", 2, 48, 16, cache);
            if (s.model.is_coarse()) continue;
            s.model.layers = s.model.experts.first_dense + 1;
            s.inference.precision = CachePrecision::fp8;
            const schedule::Schedule schedule = plan(s);
            EXPECT_GT(schedule.program_of(0).ops.size(), 10u) << name;
            const auto violations = schedule::validate(schedule);
            EXPECT_TRUE(violations.empty()) << name << ": " << violations.front().what;
        }
}

TEST(Inference, RefusesWhatItDoesNotKnow) {
    const auto refused = [](auto change) {
        Scenario s = serving("llama3.2-1b", "h100-sxm", 1, 8, 8);
        change(s);
        EXPECT_THROW((void)plan(s), ConfigError);
    };
    refused([](Scenario& s) { s.strategy.system = System::fsdp2; });   // stage 0
    refused([](Scenario& s) { s.strategy.system = System::fsdp2, s.strategy.zero_stage = 3, s.inference.cache = Cache::paged; });
    refused([](Scenario& s) { s.strategy.parameters_at = Placement::cpu; });
    refused([](Scenario& s) { s.strategy.zero_stage = 3; });
    refused([](Scenario& s) { s.training.lora_rank = 8; });
    refused([](Scenario& s) { s.inference.prompt_tokens = s.model.positions; });
    refused([](Scenario& s) { s.library = kernel::Library::host; });
    refused([](Scenario& s) { s.inference.cache = Cache::paged, s.training.standard_attention = true; });
}

}  // namespace
}  // namespace zerosim::strategy
