// Cluster files: every shipped preset reads and means something; wrong files are refused by line; what is saved reads back.
#include "config/cluster_file.hpp"

#include "base/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

namespace zerosim::config {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

SearchPaths shipped() { return {{fs::path(ZEROSIM_SOURCE_DIR) / "configs"}}; }

/// $XDG_CONFIG_HOME in a directory of its own, so that no test sees this machine's calibration.
class ClusterFile : public testing::Test {
protected:
    void SetUp() override {
        own_ = fs::path(testing::TempDir()) /
               (std::string("zerosim-") + testing::UnitTest::GetInstance()->current_test_info()->name());
        fs::remove_all(own_);
        if (const char* before = std::getenv("XDG_CONFIG_HOME")) before_ = before;
        setenv("XDG_CONFIG_HOME", own_.c_str(), 1);
    }
    void TearDown() override {
        before_.empty() ? unsetenv("XDG_CONFIG_HOME") : setenv("XDG_CONFIG_HOME", before_.c_str(), 1);
        fs::remove_all(own_);
    }
    static std::string refusal(const std::string& text) {
        try {
            (void)parse_cluster("mine.cfg", text);
        } catch (const ConfigError& error) {
            return error.what();
        }
        return "";
    }
    fs::path own_;
    std::string before_;
};

const std::string kSmallest =
    "[device]\nmemory-gib = 10\nmemory-gigabytes-per-second = 1000\nfp32-teraflops = 10\nbf16-teraflops = 20\nfp16-teraflops = "
    "30\n"
    "[node]\ndevices = 4\nlink-gigabytes-per-second = 100\n";

TEST_F(ClusterFile, AnUnknownNameIsRefusedWithItsLineAndTheNearestOne) {
    for (const auto& [line, nearest] : std::map<std::string, std::string>{{"[device]\ngeneration = hoper", "hopper"},
                                                                          {"[node]\nwiring = swich", "switch"},
                                                                          {"[calibration]\nsoftware = torch-2.1", "torch-2.11"}}) {
        const std::string text = refusal(kSmallest + line + "\n");
        EXPECT_THAT(text, HasSubstr("mine.cfg:11: ")) << line;
        EXPECT_THAT(text, HasSubstr(nearest)) << line;
    }
}

TEST_F(ClusterFile, every_shipped_cluster_reads) {
    const std::vector<std::string> names = cluster_names(shipped());
    for (const char* name : {"local", "v100-sxm-32gb", "a100-sxm-40gb", "a100-sxm-80gb", "h100-sxm", "h100-sxm-96gb-500w",
                             "h200-sxm", "b200", "l40s-pcie", "rtx4090-pcie"})
        EXPECT_THAT(names, testing::Contains(name));
    for (const std::string& name : names) {
        const cluster::Cluster cluster = load_cluster(name, shipped());
        EXPECT_EQ(cluster.name, name);
        EXPECT_FALSE(cluster.device.name.empty()) << name;
        EXPECT_EQ(cluster.device.is_cpu, name == "local");
        EXPECT_FALSE(cluster.measured) << name << ": only `zerosim calibrate` says so";
        EXPECT_GE(cluster.device.bf16_flops, cluster.device.is_cpu ? 1 : cluster.device.fp32_flops) << name;
    }
}

TEST_F(ClusterFile, every_number_of_a_shipped_cluster_has_its_source_beside_it) {
    for (const std::string& name : cluster_names(shipped())) {
        std::ifstream stream(find_cluster(name, shipped()));
        int lines = 0;
        bool paces = false; // [kernel] is as `zerosim calibrate` writes it: two lines a kernel
        for (std::string line; std::getline(stream, line); lines += paces ? 0 : 1) {
            paces = paces || line == "[kernel]";
            const auto equals = line.find(" = ");
            if (equals == std::string::npos || line.starts_with("name") || line.starts_with("kind") ||
                line.starts_with("devices"))
                continue;
            EXPECT_THAT(line, HasSubstr(" # ")) << name;
        }
        EXPECT_LE(lines, 45) << name;
    }
}

TEST_F(ClusterFile, paces_of_kernels_and_cold_links_are_read_as_written) {
    cluster::Cluster mine = load_cluster("local", shipped());
    mine.device.host_kernels.pace(cluster::HostKernel::attention_backward, true) = {1.5e-9, 0};
    mine.device.host_kernels.pace(cluster::HostKernel::layer_norm_forward, false) = {2e-10, 3e-8};
    mine.transport.cold_bytes_per_second = 7e9;
    mine.transport.shared_bytes_per_second = 9e9;
    mine.transport.shared_latency_seconds = 1e-6;
    const cluster::Cluster again = parse_cluster("local.cfg", cluster_text(mine, "test"));
    EXPECT_DOUBLE_EQ(again.device.host_kernels.pace(cluster::HostKernel::attention_backward, true).element_seconds, 1.5e-9);
    EXPECT_DOUBLE_EQ(again.device.host_kernels.pace(cluster::HostKernel::layer_norm_forward, false).row_seconds, 3e-8);
    EXPECT_DOUBLE_EQ(again.transport.cold_bytes_per_second, 7e9);
    EXPECT_DOUBLE_EQ(again.transport.shared_bytes_per_second, 9e9);
    EXPECT_DOUBLE_EQ(again.transport.shared_latency_seconds, 1e-6);
    EXPECT_EQ(again.transport.reference_ranks, 0) << "the shipped cluster is of no machine";
    EXPECT_THROW((void)parse_cluster("mine.cfg", cluster_text(mine, "test") + "gelu-forwards-picoseconds = 1\n"), ConfigError);
}

TEST_F(ClusterFile, the_reference_of_its_calibration_is_read_with_its_ranks) {
    cluster::Cluster mine = load_cluster("local", shipped());
    mine.transport.reference_seconds = 14.5e-6;
    mine.transport.reference_ranks = 2;
    const cluster::Cluster again = parse_cluster("local.cfg", cluster_text(mine, "test"));
    EXPECT_DOUBLE_EQ(again.transport.reference_seconds, 14.5e-6);
    EXPECT_EQ(again.transport.reference_ranks, 2);
    EXPECT_THAT(refusal(kSmallest + "reference-microseconds = 14\n"), HasSubstr("give both"));
    EXPECT_THAT(refusal(kSmallest + "reference-microseconds = 14\nreference-ranks = 1.5\n"), HasSubstr("whole number"));
}

TEST_F(ClusterFile, published_numbers) {
    const cluster::Cluster h200 = load_cluster("h200-sxm", shipped());
    EXPECT_NEAR(static_cast<double>(h200.device.memory_bytes), 139.8 * 1073741824.0, 1);
    EXPECT_DOUBLE_EQ(h200.device.bf16_flops, 989.4e12);
    EXPECT_DOUBLE_EQ(h200.network.bytes_per_second * 8, 3200e9 / 8);
    EXPECT_DOUBLE_EQ(load_cluster("a100-sxm-80gb", shipped()).network.bytes_per_second * 8 * 8, 1600e9);
}

TEST_F(ClusterFile, the_smallest_file) {
    const cluster::Cluster cluster = parse_cluster("dir/mine.cfg", kSmallest);
    EXPECT_EQ(cluster.name, "mine");
    EXPECT_EQ(cluster.devices_per_node, 4);
    EXPECT_DOUBLE_EQ(cluster.intra_node.bytes_per_second, 100e9);
    EXPECT_DOUBLE_EQ(cluster.intra_node.efficiency, 1.0);
}

TEST_F(ClusterFile, mistakes_are_named_by_line) {
    EXPECT_THAT(refusal(kSmallest + "link-latncy-microseconds = 3\n"),
                testing::AllOf(HasSubstr("mine.cfg:10"), HasSubstr("did you mean 'node.link-latency-microseconds'?")));
    EXPECT_THAT(refusal(kSmallest + "link-latency-microseconds = 3us\n"),
                testing::AllOf(HasSubstr("mine.cfg:10"), HasSubstr("'3us'")));
    EXPECT_THAT(refusal(kSmallest + "link-efficiency = 1.5\n"), HasSubstr("fraction"));
    EXPECT_THAT(refusal(kSmallest + "cores = 2.5\n"), HasSubstr("whole number"));
    EXPECT_THAT(refusal(kSmallest + "link-latency-microseconds = -1\n"), HasSubstr("at least 0"));
    EXPECT_THAT(refusal(kSmallest + "[network]\ncards = 1e30\n"), HasSubstr("whole number"));
    EXPECT_THAT(refusal("[device]\nmemory-gib = 1e30\n"), testing::AllOf(HasSubstr("mine.cfg:2"), HasSubstr("out of range")));
    EXPECT_THAT(refusal("[device]\nkind = tpu\n"), testing::AllOf(HasSubstr("mine.cfg:2"), HasSubstr("gpu or cpu")));
    EXPECT_THAT(refusal("[device]\nkind = cpu\n"), testing::AllOf(HasSubstr("cpu"), HasSubstr("memory-gigabytes-per-second")));
}

TEST_F(ClusterFile, unknown_names_get_the_nearest) {
    try {
        (void)load_cluster("a100-sxm-80g", shipped());
        FAIL();
    } catch (const ConfigError& error) {
        EXPECT_THAT(error.what(), HasSubstr("did you mean 'a100-sxm-80gb'?"));
    }
    EXPECT_THROW((void)load_cluster("/no/such/file.cfg", shipped()), ConfigError);
}

TEST_F(ClusterFile, what_is_saved_reads_back) {
    for (const std::string& name : cluster_names(shipped())) {
        cluster::Cluster before = load_cluster(name, shipped());
        before.measured = true;
        const std::string text = cluster_text(before, "first line\nsecond line");
        EXPECT_TRUE(text.starts_with("# first line\n# second line\n"));
        const cluster::Cluster after = parse_cluster(name + ".cfg", text);
        EXPECT_EQ(cluster_text(after, "first line\nsecond line"), text);
        EXPECT_TRUE(after.measured);
        EXPECT_EQ(after.device.name, before.device.name);
        EXPECT_NEAR(after.network.bytes_per_second, before.network.bytes_per_second, 1e-5 * before.network.bytes_per_second);
        EXPECT_NEAR(after.intra_node.latency_seconds, before.intra_node.latency_seconds,
                    1e-5 * before.intra_node.latency_seconds);
    }
}

TEST_F(ClusterFile, a_calibrated_local_is_preferred) {
    cluster::Cluster mine = load_cluster("local", shipped());
    mine.measured = true;
    mine.cores = 77;
    save_cluster(user_clusters() / "local.cfg", mine, "measured here");
    EXPECT_EQ(user_clusters(), own_ / "zerosim" / "clusters");
    EXPECT_EQ(load_cluster("local", shipped()).cores, 77);
    EXPECT_TRUE(load_cluster("local", shipped()).measured);
}

TEST_F(ClusterFile, a_file_that_cannot_be_written_is_the_machines_fault) {
    EXPECT_THROW(save_cluster("/proc/zerosim/local.cfg", {}, ""), EnvironmentError);
}

} // namespace
} // namespace zerosim::config
