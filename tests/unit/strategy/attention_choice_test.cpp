// Which attention kernel PyTorch's SDPA takes on a preset's devices, by the room of its backward.
#include "config/cluster_file.hpp"
#include "config/model_file.hpp"
#include "strategy/plan.hpp"
#include "strategy/torch/tape.hpp"
#include "support/scenarios.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace zerosim::strategy {
namespace {

Scenario job(const std::string& cluster) {
    Scenario s;
    s.cluster = config::load_cluster(cluster, config::SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}});
    s.cluster.software = cluster::software("torch-2.11");
    s.library = kernel::Library::cuda;
    s.model = test::model_of(model::Family::llama, 1, 4, 512, 1024, 128);
    s.strategy.system = System::ddp;
    s.strategy.zero_stage = 0;
    s.training.sequence_length = 128;
    s.training.precision = Precision::bf16;
    s.ranks = 1;
    return s;
}

bool holds(const Scenario& scenario, std::string_view name) {
    const schedule::Schedule planned = plan(scenario);
    return std::ranges::any_of(planned.program_of(0).storages, [&](const schedule::Storage& s) { return planned.names[s.name] == name; });
}

/// check_prefer_cudnn_attention: compute capability 9.x and 10.x.
TEST(AttentionChoice, CudnnComesFirstOnHopperAndBlackwellOnly) {
    for (const char* cluster : {"h100-sxm", "gh200", "b200", "gb300-nvl72"}) EXPECT_TRUE(holds(job(cluster), "cudnn_workspace")) << cluster;
    for (const char* cluster : {"mi300x", "v100-sxm-32gb"}) EXPECT_FALSE(holds(job(cluster), "cudnn_workspace")) << cluster;
    for (const char* cluster : {"a100-sxm-80gb", "a10-pcie", "l4-pcie", "rtx5090-pcie", "rtx-pro-6000-pcie"}) {
        EXPECT_FALSE(holds(job(cluster), "cudnn_workspace")) << cluster;
        EXPECT_TRUE(holds(job(cluster), "softmax_d")) << cluster << " has flash attention";
    }
}

TEST(AttentionChoice, CudnnTakesNeitherFp32NorWideOrUnalignedHeadsNorASingleKeyNorOlderStacks) {
    const auto with = [](auto change) {
        Scenario s = job("h100-sxm");
        change(s);
        return holds(s, "cudnn_workspace");
    };
    EXPECT_TRUE(with([](Scenario& s) { s.training.precision = Precision::fp16_mixed; }));
    EXPECT_TRUE(with([](Scenario& s) { s.model.head_dim = 128; }));
    EXPECT_FALSE(with([](Scenario& s) { s.training.precision = Precision::fp32; }));
    EXPECT_TRUE(with([](Scenario& s) { s.model.head_dim = 256; })) << "check_cudnn_tensor_shapes: 9.0 takes 256";
    EXPECT_FALSE(with([](Scenario& s) { s.model.head_dim = 264; }));
    EXPECT_FALSE(with([](Scenario& s) { s.model.head_dim = 60; }));
    EXPECT_FALSE(with([](Scenario& s) { s.training.sequence_length = 1; }));
    EXPECT_FALSE(with([](Scenario& s) { s.cluster.software = cluster::software("torch-2.6"); }));
}

TEST(AttentionChoice, CudnnTakesWideHeadsOnHopperAlone) {
    Scenario s = job("b200");
    s.model.head_dim = 256;
    EXPECT_FALSE(holds(s, "cudnn_workspace"));
}

/// check_cudnn_tensor_shapes: values may be narrower than queries: 192 and 128 wide on 9.0 and 10.x; Ampere is left with the memory-efficient kernel.
TEST(AttentionChoice, CudnnTakesDeepSeeksHeads) {
    const auto takes = [](const char* cluster) {
        Scenario s = job(cluster);
        s.model = config::load_model("deepseek-v2-lite", config::SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}}).model;
        s.model.layers = 2;
        s.model.implementation = model::Implementation::huggingface;
        return holds(s, "cudnn_workspace");
    };
    EXPECT_TRUE(takes("h100-sxm"));
    EXPECT_TRUE(takes("b200"));
    EXPECT_FALSE(takes("a100-sxm-80gb"));
}

/// A serving engine's kernels read one key head for all query heads in any dtype: SDPA's fallback is not theirs.
TEST(AttentionChoice, AServingEngineStoresNoScores) {
    for (const auto cache : {Inference::Cache::paged, Inference::Cache::contiguous}) {
        Scenario s = job("h100-sxm");
        s.model = config::load_model("deepseek-v2-lite", config::SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}}).model;
        s.model.layers = 2;
        s.strategy.system = System::zerosim;
        s.inference.enabled = true;
        s.inference.batch = 1;
        s.inference.prompt_tokens = 64;
        s.inference.new_tokens = 8;
        s.inference.cache = cache;
        EXPECT_FALSE(holds(s, "safe_softmax"));
    }
}

/// torchtitan names its backends: cuDNN comes first from compute capability 10.0 on alone.
TEST(AttentionChoice, TorchtitanTakesCudnnOnBlackwellAlone) {
    const auto takes = [](const char* cluster) {
        Scenario s = job(cluster);
        s.cluster.software = cluster::software("torchtitan-2025");
        return holds(s, "cudnn_workspace");
    };
    EXPECT_TRUE(takes("b200"));
    EXPECT_FALSE(takes("h100-sxm"));
    EXPECT_FALSE(takes("a100-sxm-80gb"));
}

/// AOTriton's backward has row sums twice and no fp32 accumulator; key heads are not expanded.
TEST(AttentionChoice, AmdHasAotriton) {
    for (const char* cluster : {"mi250x", "mi300x", "mi325x"}) {
        Scenario s = job(cluster);
        s.model.kv_heads = 2;
        s.model.implementation = model::Implementation::huggingface;
        EXPECT_TRUE(holds(s, "softmax_d") && holds(s, "delta")) << cluster;
        EXPECT_FALSE(holds(s, "dq_accumulator") || holds(s, "dk_expanded")) << cluster;
    }
}

/// FlashAttention-2 needs compute capability 8.0: a V100 has the memory-efficient kernel in fp16 too.
TEST(AttentionChoice, VoltaHasTheMemoryEfficientKernel) {
    for (const char* cluster : {"v100-sxm-32gb", "v100-pcie-16gb"}) {
        Scenario s = job(cluster);
        s.training.precision = Precision::fp16_mixed;
        EXPECT_TRUE(holds(s, "delta") && holds(s, "efficient_workspace")) << cluster;
        EXPECT_FALSE(holds(s, "softmax_d") || holds(s, "rng_state")) << cluster;
    }
}

std::int64_t bytes_of(const Scenario& scenario, std::string_view name) {
    const schedule::Schedule planned = plan(scenario);
    std::int64_t most = 0;
    for (const schedule::Storage& s : planned.program_of(0).storages)
        if (planned.names[s.name] == name) most = std::max(most, s.bytes);
    return most;
}

/// kernel_backward.h: dq is summed in memory in fp32 too, since keys are split over blocks; delta is computed outside of the kernel.
TEST(AttentionChoice, Fp32BackwardHasTheMemoryEfficientKernelsWorkspace) {
    Scenario s = job("h200-sxm");
    s.training.precision = Precision::fp32;
    const std::int64_t rows = s.training.micro_batch * s.model.heads * s.training.sequence_length;
    s.model.head_dim = 64;
    EXPECT_EQ(bytes_of(s, "efficient_workspace"), rows / 64 * (16 + 4 * 64 * 64));
    EXPECT_GE(bytes_of(s, "delta_product"), 4 * rows * 64);
    s.model.head_dim = 128;
    EXPECT_EQ(bytes_of(s, "efficient_workspace"), rows / 128 * 2 * (16 + 4 * 128 * 64));
    for (const char* small : {"a10-pcie", "rtx4090-pcie", "rtx5090-pcie"}) {   // 99 KiB of shared memory
        Scenario of_small = job(small);
        of_small.training.precision = Precision::fp32;
        of_small.model.head_dim = 128;
        EXPECT_EQ(bytes_of(of_small, "efficient_workspace"), rows / 64 * 2 * (16 + 4 * 64 * 64)) << small;
    }
    Scenario amd = job("mi300x");
    amd.training.precision = Precision::fp32;
    EXPECT_FALSE(holds(amd, "efficient_workspace") && bytes_of(amd, "efficient_workspace") > 0);
    EXPECT_EQ(bytes_of(amd, "delta_product"), 0);
}

/// can_use_mem_efficient_attention: as many key heads as query heads; transformers leaves the repeating to SDPA, whose fallback stores all scores.
TEST(AttentionChoice, Fp32WithFewerKeyHeadsFallsBackToStoredScores) {
    Scenario s = job("h200-sxm");
    s.model.implementation = model::Implementation::huggingface;
    s.training.precision = Precision::fp32;
    EXPECT_FALSE(holds(s, "safe_softmax"));
    s.model.kv_heads = 2;
    const std::int64_t scores = s.training.micro_batch * s.model.heads * s.training.sequence_length * s.training.sequence_length;
    EXPECT_EQ(bytes_of(s, "safe_softmax"), 4 * scores);
    EXPECT_FALSE(holds(s, "log_sum_exp"));
    s.training.precision = Precision::bf16;
    EXPECT_FALSE(holds(s, "safe_softmax"));
    s.training.precision = Precision::fp32;
    s.model.implementation = model::Implementation::torch;   // whose modules repeat the heads
    EXPECT_FALSE(holds(s, "safe_softmax"));
}

/// CUDA programming guide, compute capabilities: 2,048 resident threads on 7.0, 8.0, 9.0 and 10.0, 1,536 on 8.6, 8.9 and 12.0.
TEST(AttentionChoice, ResidentThreadsFollowTheComputeCapability) {
    const auto threads = [](const char* cluster) { return torch::device_kernels(job(cluster)).threads_per_multiprocessor; };
    for (const char* cluster : {"a100-sxm-80gb", "h100-sxm", "b200"}) EXPECT_EQ(threads(cluster), 2048) << cluster;
    for (const char* cluster : {"a10-pcie", "a40-pcie", "rtx3090-pcie", "l4-pcie", "rtx5090-pcie"}) EXPECT_EQ(threads(cluster), 1536) << cluster;
}

/// parseChosenWorkspaceSize: 32 MiB on 9.x, 10.x and 12.x, else 2 x 4 MiB + 8 x 16 KiB; hipBLASLt: 76 MiB.
TEST(AttentionChoice, GemmWorkspaceFollowsTheComputeCapability) {
    const auto workspace = [](const char* cluster) { return torch::device_kernels(job(cluster)).gemm_workspace; };
    for (const char* cluster : {"h100-sxm", "b200", "rtx5090-pcie"}) EXPECT_EQ(workspace(cluster), 32 << 20) << cluster;
    for (const char* cluster : {"a100-sxm-80gb", "a10-pcie", "l4-pcie", "v100-sxm-32gb"}) EXPECT_EQ(workspace(cluster), 8320 << 10) << cluster;
    for (const char* cluster : {"mi250x", "mi300x", "mi325x"}) {
        EXPECT_EQ(workspace(cluster), 76 << 20) << cluster;
        EXPECT_EQ(torch::device_kernels(job(cluster)).lt_workspace, 0) << cluster;
    }
}

}  // namespace
}  // namespace zerosim::strategy
