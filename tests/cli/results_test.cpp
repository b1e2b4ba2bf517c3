// Results as scripts read them: JSON by the contract (docs/metrics.md), traces, comparisons and checks with their exit codes.
#include "cli/subprocess.hpp"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace zerosim::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

/// A folder of the test's own, removed at its end.
class Results : public ::testing::Test {
protected:
    Results() : folder_(std::filesystem::temp_directory_path() / ("zerosim-results-" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()))) {
        std::filesystem::create_directories(folder_);
    }
    ~Results() override { std::filesystem::remove_all(folder_); }
    [[nodiscard]] std::string file(const std::string& name) const { return folder_ / name; }

private:
    std::filesystem::path folder_;
};

std::vector<std::string> scenario(const std::string& command, const std::vector<std::string>& more) {
    std::vector<std::string> arguments{command, "--model", "gpt-mini", "--ranks", "2", "--train.sequence-length", "32", "--strategy.zero-stage", "3", "--train.data", "chain"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
}

/// Exactly one object on stdout.
json object_of(const Outcome& outcome) {
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    const json object = json::parse(outcome.output, nullptr, false);
    EXPECT_TRUE(object.is_object()) << outcome.output;
    return object;
}

json read_json(const std::string& path) {
    std::ifstream stream(path);
    return json::parse(stream, nullptr, false);
}

/// nlohmann writes what is not finite as null; an exponent beyond a double's reads as infinity.
void expect_finite(const json& value, const std::string& path) {
    EXPECT_FALSE(value.is_null()) << path;
    if (value.is_number_float()) {
        EXPECT_TRUE(std::isfinite(value.get<double>())) << path;
    }
    if (value.is_structured())
        for (const auto& [key, item] : value.items()) expect_finite(item, path + "/" + key);
}

void expect_keys(const json& object, const std::vector<std::string>& pointers) {
    for (const std::string& pointer : pointers) EXPECT_TRUE(object.contains(json::json_pointer(pointer))) << pointer << " is missing";
}

const std::vector<std::string> kMemory{"/peak_allocated_bytes", "/peak_reserved_bytes", "/init_peak_bytes", "/first_step_peak_bytes", "/after_init_bytes", "/after_step_bytes",
                                       "/phase_peaks_bytes/forward", "/phase_peaks_bytes/backward", "/phase_peaks_bytes/optimizer", "/at_peak_by_role_bytes",
                                       "/after_step_by_role_bytes", "/device_total_bytes", "/context_bytes", "/communicator_bytes", "/fits", "/host/peak_bytes",
                                       "/host/pinned_bytes"};
const std::vector<std::string> kTime{"/step_seconds", "/forward_seconds", "/backward_seconds", "/optimizer_seconds", "/compute_seconds", "/communication_seconds",
                                     "/exposed_communication_seconds"};

void expect_contract(const json& result) {
    expect_finite(result, "");
    EXPECT_EQ(result.value("schema_version", 0), 1);
    expect_keys(result, {"/scenario/model", "/scenario/ranks", "/scenario/strategy.zero-stage", "/scenario/train.precision", "/model/parameters", "/model/trainable_parameters",
                         "/communication/message_bytes_per_rank", "/communication/sent_bytes_per_rank", "/throughput/tokens_per_second_per_device",
                         "/throughput/model_flops_utilization"});
    expect_keys(result.at("memory"), kMemory);
    expect_keys(result.at("time"), kTime);
    ASSERT_FALSE(result.at("ranks").empty());
    for (const json& rank : result.at("ranks")) {
        expect_keys(rank, {"/rank", "/count"});
        expect_keys(rank.at("memory"), kMemory);
        expect_keys(rank.at("time"), kTime);
    }
    ASSERT_FALSE(result.at("communication").at("collectives").empty());
    double sent = 0;
    for (const json& row : result.at("communication").at("collectives")) {
        expect_keys(row, {"/kind", "/axis", "/phase", "/count", "/message_bytes", "/sent_bytes", "/seconds", "/algbw_bytes_per_second", "/busbw_bytes_per_second"});
        sent += row.at("sent_bytes").get<double>();
    }
    EXPECT_GE(sent, result["communication"]["sent_bytes_per_rank"].get<double>());   // rows hold the scalars too
}

TEST_F(Results, SimulateJsonHasEveryFieldOfTheContract) {
    const json result = object_of(run_zerosim(scenario("simulate", {"--format", "json"})));
    expect_contract(result);
    EXPECT_FALSE(result.contains("training"));
    EXPECT_EQ(result["ranks"][0]["count"], 2);
}

TEST_F(Results, RunJsonHasEveryFieldOfTheContract) {
    const json result = object_of(run_zerosim(scenario("run", {"--format", "json", "--train.steps", "4"})));
    expect_contract(result);
    EXPECT_EQ(result["ranks"].size(), 2u);
    for (const json& rank : result["ranks"]) EXPECT_EQ(rank["count"], 1);
    const json& training = result.at("training");
    EXPECT_EQ(training.at("losses").size(), 4u);
    EXPECT_EQ(training.at("gradient_norms").size(), 4u);
    EXPECT_EQ(training.at("final_parameter_norms").size(), training.at("final_parameter_hashes").size());
    EXPECT_GT(training.at("final_parameter_norms").at("wte.weight").get<double>(), 0);
    EXPECT_EQ(training.at("final_parameter_hashes").at("wte.weight").get<std::string>().size(), 16u);
}

TEST_F(Results, ARunOfSeveralRanksSaysWhatItsLinksTook) {
    const json links = object_of(run_zerosim(scenario("run", {"--format", "json"}))).at("links");
    ASSERT_EQ(links.at("reference_seconds").size(), 2u);
    for (const json& seconds : links["reference_seconds"]) EXPECT_GT(seconds.get<double>(), 0);
    EXPECT_EQ(links.at("reference_bytes"), 65536);
    EXPECT_FALSE(object_of(run_zerosim({"run", "--model", "gpt-mini", "--ranks", "1", "--train.sequence-length", "32", "--train.data", "chain", "--format", "json"})).contains("links"));
    EXPECT_FALSE(object_of(run_zerosim(scenario("simulate", {"--format", "json"}))).contains("links"));
}

TEST_F(Results, ARunIsHeldAgainstTheLinksOfItsCalibration) {
    std::ofstream(file("slow.cfg")) << "[cluster]\nbase = local\n[node]\nreference-microseconds = 1e6\nreference-ranks = 2\n";
    const auto run = run_zerosim(scenario("run", {"--cluster", file("slow.cfg"), "--format", "json", "--output", file("run.json")}));
    EXPECT_EQ(run.exit_code, 0) << run.describe();
    const json result = read_json(file("run.json"));
    EXPECT_DOUBLE_EQ(result.at("links").at("calibrated_reference_seconds").get<double>(), 1);
    const std::string line = result.at("notes").back();
    EXPECT_THAT(line, HasSubstr("slow.cfg' was calibrated: collectives are predicted up to"));
    EXPECT_THAT(run_zerosim({"report", file("run.json")}).output, HasSubstr(line));
    EXPECT_THAT(run_zerosim({"compare", file("run.json"), file("run.json")}).errors, HasSubstr(line));
}

TEST_F(Results, PredictedMemoryIsTheMeasured) {
    const json predicted = object_of(run_zerosim(scenario("simulate", {"--format", "json"}))), measured = object_of(run_zerosim(scenario("run", {"--format", "json"})));
    for (const char* key : {"peak_allocated_bytes", "after_init_bytes", "after_step_bytes", "phase_peaks_bytes", "at_peak_by_role_bytes", "after_step_by_role_bytes"})
        EXPECT_EQ(predicted["memory"][key], measured["memory"][key]) << key;
    EXPECT_EQ(predicted["communication"]["message_bytes_per_rank"], measured["communication"]["message_bytes_per_rank"]);
}

TEST_F(Results, OutputGoesToTheFileAndProgressToStdout) {
    const auto outcome = run_zerosim(scenario("simulate", {"--format", "json", "--output", file("result.json")}));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    expect_contract(read_json(file("result.json")));
    const auto nowhere = run_zerosim(scenario("simulate", {"--output", "/nonexistent/folder/result.json"}));
    EXPECT_EQ(nowhere.exit_code, 3) << nowhere.describe();
}

TEST_F(Results, PerfettoFileHasAProcessForEachRank) {
    const auto outcome = run_zerosim(scenario("run", {"--format", "csv", "--perfetto", file("trace.json")}));
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    const json trace = read_json(file("trace.json"));
    ASSERT_TRUE(trace.is_object());
    std::set<int> processes;
    std::set<std::string> threads;
    std::size_t counters = 0;
    for (const json& event : trace.at("traceEvents")) {
        if (event.value("name", "") == "process_name") processes.insert(event.at("pid").get<int>());
        if (event.value("name", "") == "thread_name") threads.insert(event.at("args").at("name").get<std::string>());
        counters += event.value("ph", "") == "C";
    }
    EXPECT_EQ(processes.size(), 2u);
    EXPECT_TRUE(threads.contains("compute"));
    EXPECT_GT(counters, 0u);
}

TEST_F(Results, CompareToleranceDecidesTheExitCode) {
    const std::string three = file("three.json"), two = file("two.json");
    EXPECT_EQ(run_zerosim(scenario("simulate", {"--format", "json", "--output", three})).exit_code, 0);
    auto stage_two = scenario("simulate", {"--format", "json", "--output", two});
    *std::find(stage_two.begin(), stage_two.end(), "3") = "2";
    EXPECT_EQ(run_zerosim(stage_two).exit_code, 0);
    EXPECT_EQ(run_zerosim({"compare", three, two}).exit_code, 0);
    EXPECT_EQ(run_zerosim({"compare", three, three, "--tolerance", "0"}).exit_code, 0);
    const auto differs = run_zerosim({"compare", three, two, "--tolerance", "0.01"});
    EXPECT_EQ(differs.exit_code, 1) << differs.describe();
    EXPECT_THAT(differs.errors, HasSubstr("tolerance"));
    EXPECT_EQ(run_zerosim({"compare", three, file("none.json")}).exit_code, 2);
}

TEST_F(Results, ComparePlansScenarioFilesToo) {
    for (const char* stage : {"0", "3"}) std::ofstream(file(std::string("stage") + stage + ".cfg")) << "[strategy]\nzero-stage = " << stage << "\n";
    const auto outcome = run_zerosim({"compare", file("stage0.cfg"), file("stage3.cfg"), "--model", "gpt-mini", "--ranks", "4"});
    EXPECT_EQ(outcome.exit_code, 0) << outcome.describe();
    EXPECT_THAT(outcome.output, ::testing::AllOf(HasSubstr("stage0"), HasSubstr("stage3"), HasSubstr("parameters"), HasSubstr("all-reduce"), HasSubstr("all-gather")));
}

TEST_F(Results, FailIfDecidesTheExitCode) {
    EXPECT_EQ(run_zerosim(scenario("simulate", {"--fail-if", "memory.peak_allocated_bytes > 1e15"})).exit_code, 0);
    EXPECT_EQ(run_zerosim(scenario("simulate", {"--fail-if", "memory.peak_allocated_bytes > 1"})).exit_code, 1);
    EXPECT_EQ(run_zerosim(scenario("simulate", {"--fail-if", "memory.peak_alocated_bytes > 1"})).exit_code, 2);
    EXPECT_EQ(run_zerosim(scenario("run", {"--fail-if", "time.step_seconds < 1e6"})).exit_code, 1);
}

TEST_F(Results, ReportRendersAStoredResultAgain) {
    EXPECT_EQ(run_zerosim(scenario("simulate", {"--format", "json", "--output", file("result.json")})).exit_code, 0);
    const auto table = run_zerosim({"report", file("result.json")});
    EXPECT_EQ(table.exit_code, 0) << table.describe();
    EXPECT_THAT(table.output, HasSubstr("all-gather"));
    EXPECT_EQ(run_zerosim({"report", "/nonexistent.json"}).exit_code, 2);
}

// A simulated job that does not fit is a result.
TEST_F(Results, AJobThatDoesNotFitIsAResult) {
    const auto outcome = run_zerosim({"simulate", "--model", "gpt2-1.5b", "--cluster", "v100-sxm-32gb", "--ranks", "2", "--train.micro-batch", "64", "--format", "json"});
    const json result = object_of(outcome);
    EXPECT_EQ(result["memory"]["fits"], false);
    EXPECT_THAT(outcome.errors, HasSubstr("warning"));
}

}  // namespace
}  // namespace zerosim::testing
