// What the program says of a step: parts and critical path add up, of simulated and measured steps; sensitivity; sweeps.
#include "cli/subprocess.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace zerosim::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

json object_of(const std::vector<std::string>& arguments) {
    const Outcome outcome = run_zerosim(arguments);
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    const json object = json::parse(outcome.output, nullptr, false);
    EXPECT_TRUE(object.is_object()) << outcome.output;
    return object;
}

double sum(const json& rows) {
    double total = 0;
    for (const json& row : rows) total += row.at("seconds").get<double>();
    return total;
}

void expect_sums(const json& result) {
    const double step = result.at("time").at("step_seconds");
    EXPECT_GT(step, 0);
    EXPECT_NEAR(sum(result.at("breakdown")), step, 1e-9 * step + 1e-12);
    const json& path = result.at("critical_path");
    EXPECT_NEAR(sum(path.at("parts")), path.at("step_seconds").get<double>(), 1e-9 * step + 1e-12);
    EXPECT_FALSE(result.at("roofline").empty());
    for (const json& row : result.at("communication").at("collectives")) {
        EXPECT_GE(row.at("exposed_seconds").get<double>(), 0);
        EXPECT_GE(row.at("hidden_seconds").get<double>(), 0);
    }
}

const std::vector<std::string> kGpus{"--model", "llama2-7b", "--cluster", "h100-sxm", "--ranks", "16", "--strategy.zero-stage", "3", "--train.recompute", "full", "--format", "json"};

std::vector<std::string> with(std::string command, std::vector<std::string> arguments, const std::vector<std::string>& more) {
    arguments.insert(arguments.begin(), std::move(command));
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

TEST(Step, SimulatedPartsAddUp) {
    const json result = object_of(with("simulate", kGpus, {}));
    expect_sums(result);
    EXPECT_EQ(result["critical_path"]["step_seconds"], result["time"]["step_seconds"]);
    const json& time = result["time"];
    EXPECT_LT(time.at("step_seconds_low").get<double>(), time.at("step_seconds_high").get<double>());
    EXPECT_DOUBLE_EQ(time.at("step_interval_coverage"), 0.8);
    const json& throughput = result["throughput"];
    const double model = throughput.at("model_flops_per_step"), hardware = throughput.at("hardware_flops_per_step");
    EXPECT_GT(hardware / model, 1.25);   // forward of the blocks is done twice: 4/3, without the head
    EXPECT_LT(hardware / model, 1.36);
    EXPECT_GT(throughput.at("hardware_flops_utilization").get<double>(), throughput.at("model_flops_utilization").get<double>());
}

/// A rank of a CPU cluster has several cores, or a part of one: it is compared with their peak.
TEST(Step, UtilizationIsOfAllCoresOfARank) {
    for (const char* ranks : {"1", "2", "5"}) {
        const json result = object_of({"simulate", "--model", "gpt2-124m", "--cluster", "local", "--ranks", ranks, "--format", "json"});
        const double hardware = result.at("throughput").at("hardware_flops_utilization");
        EXPECT_GT(hardware, 0.2) << ranks;
        EXPECT_LE(hardware, 1.0) << ranks;
    }
}

TEST(Step, MeasuredPartsAddUp) {
    const json result = object_of({"run", "--model", "gpt-micro", "--ranks", "2", "--strategy.zero-stage", "3", "--train.data", "chain", "--train.steps", "4", "--format", "json"});
    expect_sums(result);
    EXPECT_FALSE(result["time"].contains("step_seconds_low"));
}

TEST(Step, SensitivityIsSortedAndMoreIsNeverSlower) {
    const json result = object_of(with("simulate", kGpus, {"--sensitivity"}));
    const json& rows = result.at("sensitivity");
    ASSERT_GE(rows.size(), 7u);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        EXPECT_LE(rows[i].at("change").get<double>(), 1e-9) << rows[i];
        if (i > 0) {
            EXPECT_GE(rows[i]["change"].get<double>(), rows[i - 1]["change"].get<double>());
        }
    }
    EXPECT_EQ(rows[0].at("resource"), "matrix throughput");   // 7B in full recomputation on two nodes
}

// Ranks that wait for a slow one take steps to settle: the compared simulations must both have.
TEST(Step, SensitivityOfUnequalRanksComparesSettledSteps) {
    const json result = object_of({"simulate", "--model", "gpt2-124m", "--cluster", "h100-sxm", "--ranks", "8", "--strategy.system", "ddp",
                                   "--variation.slow-ranks", "3:2", "--sensitivity", "--format", "json"});
    for (const json& row : result.at("sensitivity"))
        if (row.at("resource") == "NVMe bandwidth" || row.at("resource") == "network bandwidth") {
            EXPECT_EQ(row.at("step_seconds"), result.at("time").at("step_seconds")) << row;
        }
}

// NCCL chooses by its own estimates, so that more of a thing can cost time: then the row says that it chose otherwise.
TEST(Step, SensitivitySaysWhereTheLibraryChoosesOtherwise) {
    std::int64_t others = 0;
    for (const char* ranks : {"16", "32", "64", "144"}) {
        const json result = object_of({"simulate", "--model", "gpt2-124m", "--cluster", "gb200-nvl72", "--ranks", ranks, "--strategy.zero-stage", "3", "--sensitivity",
                                       "--format", "json"});
        for (const json& row : result.at("sensitivity")) {
            const auto chosen = row.at("other_algorithms").get<std::int64_t>();
            others += chosen;
            if (row.at("change").get<double>() > 1e-6) {
                EXPECT_GT(chosen, 0) << ranks << ' ' << row;
            }
        }
    }
    EXPECT_GT(others, 0) << "none of 40 improvements moves a choice";
}

// NCCL finds a weaker link when the job starts and may then choose better: only so can a fault shorten a step.
TEST(Step, AFaultyLinkNeverShortensAStepUnlessTheLibraryChoosesOtherwise) {
    std::int64_t shorter = 0;
    for (const char* cluster : {"h800-sxm", "a100-sxm-80gb", "b200"})
        for (const char* ranks : {"9", "16"})
            for (const auto& [key, fault] : std::vector<std::pair<const char*, const char*>>{
                     {"--variation.slow-links", "nic:4:0.5"}, {"--variation.failed-links", "nic:4"}, {"--variation.failed-links", "brick:1"}}) {
                const json result = object_of({"simulate", "--model", "gpt-mini", "--cluster", cluster, "--ranks", ranks, "--strategy.zero-stage", "3", "--train.precision", "bf16-mixed",
                                               key, fault, "--format", "json"});
                const json& variation = result.at("variation");
                if (variation.at("step_seconds").get<double>() >= variation.at("undisturbed_step_seconds").get<double>() * (1 - 1e-6)) continue;
                EXPECT_GT(variation.at("other_algorithms").get<std::int64_t>(), 0) << cluster << ' ' << ranks << ' ' << fault;
                ++shorter;
            }
    EXPECT_GT(shorter, 0) << "the case that the line in the table is for does not occur here";
}

TEST(Sweep, PointsAreSimulationsAndRefusalsAreRows) {
    const json sweep = object_of(with("sweep", kGpus, {"--over", "ranks=8,16,48", "--strong", "--train.global-batch", "64", "--train.micro-batch", "1", "--jobs", "2"}));
    EXPECT_EQ(sweep.at("scaling"), "strong");
    ASSERT_EQ(sweep.at("points").size(), 3u);
    const json alone = object_of(with("simulate", kGpus, {"--train.gradient-accumulation", "4"}));
    EXPECT_EQ(sweep["points"][1].at("step_seconds"), alone["time"]["step_seconds"]);
    EXPECT_EQ(sweep["points"][1].at("global_batch"), 64);
    EXPECT_THAT(sweep["points"][2].at("error").get<std::string>(), HasSubstr("32 or 64 ranks divide it"));
    const Outcome wrong = run_zerosim({"sweep", "--over", "rank=1,2"});
    EXPECT_EQ(wrong.exit_code, 2) << wrong.describe();
    EXPECT_THAT(wrong.errors, HasSubstr("ranks"));
}

}  // namespace
}  // namespace zerosim::testing
