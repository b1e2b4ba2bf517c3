// `doctor` and `--transport` as a user meets them, on a machine that may have no GPU.
#include "cli/subprocess.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace zerosim::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(Doctor, JsonHasFactsWarningsAndWhatIsMissing) {
    const auto outcome = run_zerosim({"doctor", "--format", "json"});
    ASSERT_EQ(outcome.exit_code, 0) << outcome.describe();
    const auto root = nlohmann::json::parse(outcome.output);
    EXPECT_TRUE(root.at("facts").contains("CUDA"));
    EXPECT_TRUE(root.at("facts").contains("NUMA node 0") || !root.at("facts").contains("NUMA node 1"));
    EXPECT_TRUE(root.at("warnings").is_array());
    EXPECT_TRUE(root.at("missing").is_array());
    // Without a driver CUDA speaks of one that is too old.
    if (root.at("facts").at("CUDA").get<std::string>().find("driver none") != std::string::npos)
        EXPECT_THAT(root.at("missing").dump(), AllOf(HasSubstr("no NVIDIA driver is installed"), Not(HasSubstr("insufficient"))));
}

TEST(Doctor, NamesSwitchesLeftInTheEnvironment) {
    EXPECT_THAT(run_zerosim({"doctor"}, {.environment = {{"NCCL_P2P_DISABLE", "1"}}}).output, HasSubstr("NCCL_P2P_DISABLE=1"));
    EXPECT_EQ(run_zerosim({"doctor"}).output.find("NCCL_P2P_DISABLE"), std::string::npos);
}

TEST(Doctor, TakesAClusterToCompareWith) {
    EXPECT_EQ(run_zerosim({"doctor", "--cluster", "h100-sxm"}).exit_code, 0);
    const auto outcome = run_zerosim({"doctor", "--cluster", "h100-sxn"});
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.errors, HasSubstr("h100-sxm"));
}

nlohmann::json simulated(const std::string& transport) {
    const auto outcome = run_zerosim({"simulate", "--model", "gpt2-124m", "--cluster", "h100-sxm", "--ranks", "8", "--strategy.zero-stage", "3", "--transport", transport, "--format", "json"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    return nlohmann::json::parse(outcome.output);
}

TEST(Transport, SimulationsSayWhichPathTheyTook) {
    const auto usual = simulated("auto"), pcie = simulated("pcie"), host = simulated("host");
    EXPECT_EQ(usual.at("transport").at("used").at(0).at("path"), "nvlink");
    EXPECT_EQ(pcie.at("transport").at("used").at(0).at("path"), "pcie");
    EXPECT_GT(pcie.at("time").at("step_seconds"), usual.at("time").at("step_seconds"));
    EXPECT_GT(host.at("time").at("step_seconds"), pcie.at("time").at("step_seconds"));
    EXPECT_EQ(pcie.at("communication").at("sent_bytes_per_rank"), usual.at("communication").at("sent_bytes_per_rank"));
}

TEST(Transport, PredictedCollectivesTakeThatPath) {
    const auto seconds = [](const std::string& transport) {
        const auto outcome = run_zerosim({"collectives", "--predict", "true", "--cluster", "h100-sxm", "--ranks", "8", "--kind", "all-gather", "--sizes", "64M", "--transport", transport, "--format", "csv"});
        EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
        return outcome.output;
    };
    EXPECT_NE(seconds("auto"), seconds("pcie"));
    EXPECT_EQ(seconds("auto"), seconds("nvlink"));
    const auto measured = run_zerosim({"collectives", "--transport", "pcie"});
    EXPECT_EQ(measured.exit_code, 2);
    EXPECT_THAT(measured.errors, HasSubstr("--device cuda"));
}

TEST(Transport, IsRefusedByName) {
    const auto cpu = run_zerosim({"run", "--transport", "host", "--device", "cpu"});
    EXPECT_EQ(cpu.exit_code, 2);
    EXPECT_THAT(cpu.errors, HasSubstr("this run is on the CPU"));
    EXPECT_EQ(run_zerosim({"simulate", "--cluster", "l40s-pcie", "--ranks", "2", "--transport", "nvlink"}).exit_code, 2);
}

}  // namespace
}  // namespace zerosim::testing
