// Wiring and collective library of a cluster file, and files that begin from another one.
#include "base/error.hpp"
#include "config/cluster_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace zerosim::config {
namespace {

using cluster::CollectiveTuning;
using cluster::Wiring;
using testing::HasSubstr;

const std::string kNode =
    "[device]\nkind = gpu\nmemory-gib = 80\nmemory-gigabytes-per-second = 2000\nfp32-teraflops = 20\nbf16-teraflops = 300\n"
    "fp16-teraflops = 300\n[node]\ndevices = 4\nlink-gigabytes-per-second = 100\n";

/// A folder of its own for the files of a test.
class FabricFile : public testing::Test {
protected:
    void SetUp() override { std::filesystem::create_directories(folder_); }
    void TearDown() override { std::filesystem::remove_all(folder_); }
    std::string write(const std::string& name, const std::string& text) const {
        std::ofstream(folder_ / (name + ".cfg")) << text;
        return (folder_ / (name + ".cfg")).string();
    }
    std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) /
                                    ("fabric_" + std::string(testing::UnitTest::GetInstance()->current_test_info()->name()));
};

TEST_F(FabricFile, words_are_read_and_written) {
    const cluster::Cluster read = parse_cluster(
        "mine.cfg", kNode + "wiring = pcie\nisland-devices = 2\nbridge-gigabytes-per-second = 5\nbridges = 1\n[network]\n"
                            "gigabits-per-second = 100\nll128 = false\n[collective]\nlaunch-microseconds = 5\ntuning = nccl-hopper\nnccl-algorithms = ring, nvls-tree\n"
                            "nccl-protocols = simple\n");
    EXPECT_EQ(read.fabric.algorithms, 0b01001);
    EXPECT_EQ(read.fabric.protocols, 0b100);
    EXPECT_EQ(read.fabric.wiring, Wiring::pcie);
    EXPECT_EQ(read.fabric.tuning, CollectiveTuning::nccl_hopper);
    EXPECT_EQ(read.fabric.island_devices, 2);
    EXPECT_FALSE(read.fabric.network_ll128);
    const cluster::Cluster again = parse_cluster("again.cfg", cluster_text(read, "saved"));
    EXPECT_EQ(again.fabric.wiring, Wiring::pcie);
    EXPECT_EQ(again.fabric.tuning, CollectiveTuning::nccl_hopper);
    EXPECT_EQ(again.fabric.bridges, 1);
    EXPECT_FALSE(again.fabric.network_ll128);
    EXPECT_EQ(again.fabric.algorithms, read.fabric.algorithms);
    EXPECT_EQ(again.fabric.protocols, read.fabric.protocols);
}

TEST_F(FabricFile, unknown_words_are_refused_with_the_known_ones) {
    try {
        (void)parse_cluster("mine.cfg", kNode + "wiring = ring\n");
        FAIL();
    } catch (const ConfigError& error) {
        EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("node.wiring 'ring'"), HasSubstr("hybrid-cube-mesh")));
    }
    EXPECT_THROW((void)parse_cluster("mine.cfg", kNode + "[collective]\ntuning = nccl-turing\n"), ConfigError);
    EXPECT_THROW((void)parse_cluster("mine.cfg", kNode + "[collective]\ntuning = nccl-hopper\nnccl-protocols = ll, ll256\n"), ConfigError);
}

TEST_F(FabricFile, choices_of_nccl_are_refused_where_nothing_is_chosen) {
    for (const char* line : {"nccl-algorithms = ring\n", "nccl-protocols = simple\n"}) try {
            (void)parse_cluster("mine.cfg", kNode + "[collective]\n" + line);
            ADD_FAILURE() << line;
        } catch (const ConfigError& error) {
            EXPECT_THAT(error.what(), HasSubstr("collective.tuning"));
        }
}

TEST_F(FabricFile, a_file_says_only_what_differs_from_its_base) {
    (void)write("node", kNode + "[network]\ngigabits-per-second = 400\nlatency-microseconds = 5\n");
    const cluster::Cluster mine = load_cluster(write("mine", "[cluster]\nbase = node\n\n[network]\nlatency-microseconds = 9\n"));
    EXPECT_EQ(mine.name, "mine");
    EXPECT_DOUBLE_EQ(mine.network.latency_seconds, 9e-6);
    EXPECT_DOUBLE_EQ(mine.network.bytes_per_second, 400e9 / 8 / 4);
    EXPECT_DOUBLE_EQ(mine.device.bf16_flops, 300e12);
    const cluster::Cluster half = load_cluster(write("half", "[cluster]\nbase = mine\n\n[node]\ndevices = 2\n"));
    EXPECT_DOUBLE_EQ(half.network.bytes_per_second, 400e9 / 8 / 2) << "the node keeps its network";
    EXPECT_DOUBLE_EQ(half.network.latency_seconds, 9e-6);
}

TEST_F(FabricFile, bases_in_a_circle_and_missing_bases_are_named) {
    (void)write("one", "[cluster]\nbase = two\n");
    const std::string two = write("two", "[cluster]\nbase = one\n");
    try {
        (void)load_cluster(two);
        FAIL();
    } catch (const ConfigError& error) {
        EXPECT_THAT(error.what(), HasSubstr("circle"));
    }
    try {
        (void)load_cluster(write("lost", "[cluster]\nbase = no-such-cluster\n"));
        FAIL();
    } catch (const ConfigError& error) {
        EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("lost.cfg:2: "), HasSubstr("no-such-cluster")));
    }
}

TEST_F(FabricFile, a_base_may_be_the_path_of_a_file_beside_it) {
    (void)write("node", kNode + "[network]\ngigabits-per-second = 400\n");
    EXPECT_DOUBLE_EQ(load_cluster(write("mine", "[cluster]\nbase = ./node.cfg\n")).network.bytes_per_second, 400e9 / 8 / 4);
}

} // namespace
} // namespace zerosim::config
