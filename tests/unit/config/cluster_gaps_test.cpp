// What a cluster file leaves out is named; shipped files leave out nothing.
#include "config/cluster_gaps.hpp"

#include "config/cluster_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::config {
namespace {

constexpr const char* kLeast = R"([device]
memory-gib = 96
memory-gigabytes-per-second = 4000
fp32-teraflops = 60
bf16-teraflops = 800
fp16-teraflops = 800
[node]
devices = 4
link-gigabytes-per-second = 300
)";

TEST(ClusterGaps, the_shortest_file_is_an_ideal_machine_and_says_so) {
    const std::string gaps = cluster_gaps(parse_cluster("mine", kLeast), true);
    for (const char* key : {"'mine'", "device.generation", "device.memory-efficiency", "node.link-latency-microseconds", "collective.launch-microseconds"})
        EXPECT_THAT(gaps, testing::HasSubstr(key));
    EXPECT_THAT(gaps, testing::Not(testing::HasSubstr("network."))) << "it has none";
    EXPECT_THAT(cluster_gaps(parse_cluster("mine", kLeast), false), testing::Not(testing::HasSubstr("device.")));
}

TEST(ClusterGaps, shipped_clusters_leave_out_nothing) {
    const SearchPaths shipped{{ZEROSIM_SOURCE_DIR "/configs"}};
    for (const std::string& name : cluster_names(shipped)) EXPECT_EQ(cluster_gaps(load_cluster(name, shipped), true), "");
}

TEST(ClusterGaps, free_communication_has_no_gaps) {
    cluster::Cluster cluster = parse_cluster("mine", kLeast);
    cluster.free_communication = true;
    EXPECT_EQ(cluster_gaps(cluster, false), "");
}

/// PyTorch's sdp_utils.cpp: neither FlashAttention-2 nor the memory-efficient kernel takes bf16 below compute capability 8.0.
TEST(PrecisionGap, a_v100_has_no_bf16_and_says_so) {
    const SearchPaths shipped{{ZEROSIM_SOURCE_DIR "/configs"}};
    strategy::Scenario s;
    s.library = kernel::Library::cuda;
    s.strategy.system = strategy::System::fsdp2;
    const auto gap = [&](const char* cluster, strategy::Precision precision) {
        s.cluster = load_cluster(cluster, shipped);
        s.training.precision = precision;
        return precision_gap(s);
    };
    EXPECT_THAT(gap("v100-sxm-32gb", strategy::Precision::bf16_mixed), testing::HasSubstr("7.0 has no bf16 units"));
    EXPECT_EQ(gap("v100-sxm-32gb", strategy::Precision::fp16_mixed), "");
    EXPECT_EQ(gap("a100-sxm-80gb", strategy::Precision::bf16_mixed), "");
    EXPECT_EQ(gap("mi250x", strategy::Precision::bf16), "");
}

/// transformers' sdpa_attention.py (use_gqa_in_sdpa) and PyTorch's sdp_utils.cpp (can_use_mem_efficient_attention).
TEST(PrecisionGap, fp32_with_fewer_key_heads_stores_all_scores_and_says_so) {
    strategy::Scenario s;
    s.cluster = load_cluster("h200-sxm", SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}});
    s.library = kernel::Library::cuda;
    s.strategy.system = strategy::System::ddp;
    s.model.implementation = model::Implementation::huggingface;
    s.model.heads = 32;
    s.model.kv_heads = 8;
    s.training.precision = strategy::Precision::fp32;
    EXPECT_THAT(precision_gap(s), testing::HasSubstr("32 query and 8 key heads"));
    s.training.precision = strategy::Precision::bf16_mixed;
    EXPECT_EQ(precision_gap(s), "");
    s.training.precision = strategy::Precision::fp32;
    s.model.implementation = model::Implementation::torch;
    EXPECT_EQ(precision_gap(s), "") << "its modules repeat the heads";
}

TEST(ArchitectureGap, an_unknown_gpu_says_whose_libraries_are_assumed) {
    strategy::Scenario s;
    s.cluster = parse_cluster("mine", kLeast);
    s.library = kernel::Library::cuda;
    s.strategy.system = strategy::System::ddp;
    EXPECT_THAT(architecture_gap(s), testing::HasSubstr("'mine' says nothing of device.architecture"));
    s.cluster = parse_cluster("mine", "[device]\narchitecture = sm_80\n" + std::string(kLeast).substr(std::string("[device]\n").size()));
    EXPECT_EQ(architecture_gap(s), "");
    for (const std::string& name : cluster_names(SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}})) {
        s.cluster = load_cluster(name, SearchPaths{{ZEROSIM_SOURCE_DIR "/configs"}});
        if (s.cluster.device.is_cpu) continue;
        EXPECT_EQ(architecture_gap(s), "") << name;
    }
}

} // namespace
} // namespace zerosim::config
