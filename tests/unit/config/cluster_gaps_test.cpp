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
    const SearchPaths shipped{{std::string(ZEROSIM_SOURCE_DIR) + "/configs"}};
    for (const std::string& name : cluster_names(shipped)) EXPECT_EQ(cluster_gaps(load_cluster(name, shipped), true), "");
}

TEST(ClusterGaps, free_communication_has_no_gaps) {
    cluster::Cluster cluster = parse_cluster("mine", kLeast);
    cluster.free_communication = true;
    EXPECT_EQ(cluster_gaps(cluster, false), "");
}

} // namespace
} // namespace zerosim::config
