#include "base/error.hpp"
#include "report/compare_json.hpp"
#include "report/compare_table.hpp"
#include "report/csv.hpp"
#include "report/json.hpp"
#include "report/table.hpp"
#include "unit/analysis/hand_made.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>

namespace zerosim::report {
namespace {

using testing::HasSubstr;
using testing::Not;

/// `scale` 1: nanoseconds and bytes; 100,000: milliseconds and megabytes.
analysis::RunReport full_report(std::int64_t scale = 1) {
    const auto example = hand_made::example(scale);
    const auto measured = hand_made::measured(example.ops, 0, scale);
    auto cluster = hand_made::cluster();
    cluster.device.memory_bytes *= scale;
    cluster.device.context_bytes *= scale;
    auto facts = hand_made::facts();
    facts.parameters = facts.trainable_parameters = 32 * scale;
    facts.formula = analysis::zero_formulas(facts.parameters, 2, 1, 3, analysis::StatePrecision::fp32);
    auto report = analysis::analyze(example.schedule, measured, cluster, facts);
    auto predicted = measured;
    predicted.simulated = true;
    predicted.ranks.pop_back();
    analysis::add_prediction(report, example.schedule, predicted, measured);
    return report;
}

TEST(Json, HasTheContractsFields) {
    const auto root = nlohmann::json::parse(render_json(full_report()));
    EXPECT_EQ(root.at("schema_version"), 1);
    EXPECT_EQ(root.at("scenario").at("ranks"), 2);                    // numbers stay numbers
    EXPECT_EQ(root.at("scenario").at("train.precision"), "fp32");
    EXPECT_EQ(root.at("model").at("parameters"), 32);
    EXPECT_EQ(root.at("model").at("trainable_parameters"), 32);
    const auto& memory = root.at("memory");
    for (const char* key : {"peak_allocated_bytes", "peak_reserved_bytes", "init_peak_bytes", "first_step_peak_bytes", "after_init_bytes",
                            "after_step_bytes", "device_total_bytes", "context_bytes", "communicator_bytes"})
        EXPECT_TRUE(memory.at(key).is_number_integer()) << key;
    EXPECT_EQ(memory.at("phase_peaks_bytes"), (nlohmann::json{{"forward", 96}, {"backward", 96}, {"optimizer", 64}}));
    EXPECT_EQ(memory.at("at_peak_by_role_bytes").at("activation"), 32);
    EXPECT_EQ(memory.at("after_step_by_role_bytes").at("gradient"), 0);
    EXPECT_EQ(memory.at("fits"), true);
    EXPECT_EQ(memory.at("host"), (nlohmann::json{{"peak_bytes", 0}, {"pinned_bytes", 0}}));
    for (const char* key : {"step_seconds", "forward_seconds", "backward_seconds", "optimizer_seconds", "compute_seconds",
                            "communication_seconds", "exposed_communication_seconds"})
        EXPECT_GT(root.at("time").at(key), 0) << key;
    EXPECT_EQ(root.at("communication").at("message_bytes_per_rank"), 256);
    EXPECT_EQ(root.at("communication").at("sent_bytes_per_rank"), 128);
    for (const char* key : {"kind", "axis", "phase", "count", "message_bytes", "sent_bytes", "seconds", "algbw_bytes_per_second",
                            "busbw_bytes_per_second"})
        EXPECT_TRUE(root.at("communication").at("collectives").at(0).contains(key)) << key;
    EXPECT_GT(root.at("throughput").at("tokens_per_second_per_device"), 0);
    EXPECT_GT(root.at("throughput").at("model_flops_utilization"), 0);
    EXPECT_EQ(root.at("training").at("losses"), (nlohmann::json{2.5, 2.25, 2.0}));
    EXPECT_EQ(root.at("training").at("gradient_norms").size(), 3u);
    EXPECT_EQ(root.at("training").at("final_parameter_norms").at("w"), 3.5);
    EXPECT_EQ(root.at("training").at("final_parameter_hashes").at("w"), "00ff");
    ASSERT_EQ(root.at("ranks").size(), 2u);
    EXPECT_EQ(root.at("ranks").at(1).at("rank"), 1);
    EXPECT_EQ(root.at("ranks").at(1).at("count"), 1);
    EXPECT_EQ(root.at("ranks").at(1).at("memory").at("after_step_bytes"), 64);
    EXPECT_GT(root.at("ranks").at(1).at("time").at("step_seconds"), 0);
}

TEST(Json, RoundTripsToTheSameText) {
    const std::string text = render_json(full_report());
    EXPECT_EQ(render_json(parse_json(text, "test")), text);
    EXPECT_EQ(render_table(parse_json(text, "test")), render_table(full_report()));
}

TEST(Json, WhatOnlySomeReportsHaveComesBackToo) {
    auto report = full_report();
    report.notes = {"a simplification"};
    report.unused = {"a key"};
    report.memory.allocator = analysis::AllocatorReport{1, 2, 3, 4, 5, analysis::Shortage{6, 7, 8, 9, 10}};
    const std::string text = render_json(report);
    EXPECT_EQ(render_json(parse_json(text, "test")), text);
    EXPECT_EQ(render_table(parse_json(text, "test")), render_table(report));
}

TEST(Json, OnlyARunHasTraining) {
    auto report = full_report();
    report.training.reset();
    report.prediction.reset();
    report.formula.reset();
    report.simulated = true;
    const auto root = nlohmann::json::parse(render_json(report));
    EXPECT_FALSE(root.contains("training"));
    EXPECT_FALSE(root.contains("prediction"));
    EXPECT_TRUE(parse_json(root.dump(), "test").simulated);
}

TEST(Json, RefusesWhatIsNotFinite) {
    auto report = full_report();
    report.training->losses[1] = std::numeric_limits<double>::quiet_NaN();
    try {
        (void)render_json(report);
        FAIL() << "NaN was rendered";
    } catch (const BugError& error) {
        EXPECT_THAT(error.what(), HasSubstr("/training/losses/1"));
    }
}

TEST(Json, OtherTextsAreRefusedByName) {
    for (const char* text : {"", "[1, 2]", "{}", "{\"schema_version\": 2}", "not json"}) {
        try {
            (void)parse_json(text, "some.json");
            FAIL() << text;
        } catch (const ConfigError& error) {
            EXPECT_THAT(error.what(), HasSubstr("some.json"));
        }
    }
}

TEST(Csv, OneLineAReport) {
    auto other = full_report();
    other.collectives.pop_back();
    other.scenario[0].second = "with, comma and \"quotes\"";
    const std::string text = render_csv(std::vector{full_report(), other});
    std::istringstream lines(text);
    std::string header, first, second, rest;
    std::getline(lines, header);
    std::getline(lines, first);
    std::getline(lines, second);
    EXPECT_FALSE(std::getline(lines, rest));
    EXPECT_THAT(header, HasSubstr("scenario.model,"));
    EXPECT_THAT(header, HasSubstr("memory.peak_allocated_bytes"));
    EXPECT_THAT(header, HasSubstr("communication.all-gather.world.forward.sent_bytes"));
    EXPECT_THAT(second, HasSubstr("\"with, comma and \"\"quotes\"\"\""));
    EXPECT_EQ(std::ranges::count(header, ','), std::ranges::count(first, ','));
    EXPECT_EQ(std::ranges::count(header, ','), std::ranges::count(second, ',') - 1);   // the one inside quotes
}

TEST(Table, IsAsInTheGoldenFile) {
    const std::string path = ZEROSIM_SOURCE_DIR "/tests/unit/report/golden/table.txt";
    const std::string text = render_table(full_report(100'000));
    if (std::getenv("ZEROSIM_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
    std::ostringstream golden;
    golden << std::ifstream(path).rdbuf();
    EXPECT_EQ(text, golden.str()) << "ZEROSIM_UPDATE_GOLDEN=1 writes " << path;
}

TEST(Table, WhatBindsIsReadOffTheCriticalPath) {
    auto report = full_report();
    report.critical_path->step = 10;
    report.critical_path->parts = {{"communication", "all-gather world", "forward", 9, 3, "gather", 3, ""}, {"compute", "gemm", "forward", 1, 3, "F1", 1, ""}};
    EXPECT_THAT(render_table(report), HasSubstr("communication-bound (90 % of the path below): kernels fill 74.0 %")) << "though kernels hide most of it";
    report.critical_path.reset();
    EXPECT_THAT(render_table(report), HasSubstr("compute-bound: kernels fill 74.0 %"));
}

TEST(Table, IsNarrowAndPlain) {
    auto report = full_report();
    for (int i = 0; i < 40; ++i) report.ranks.push_back(report.ranks[0]);
    const std::string text = render_table(report);
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 120u) << line;
    EXPECT_THAT(text, Not(HasSubstr("\033")));
    EXPECT_THAT(text, HasSubstr("and 26 more"));
    EXPECT_THAT(render_table(report, Style::colour), HasSubstr("\033[1mMEMORY"));
}

TEST(Table, SaysWhatDoesNotFit) {
    auto report = full_report();
    report.memory.fits = false;
    EXPECT_THAT(render_table(report), HasSubstr("DOES NOT FIT"));
}

TEST(CompareJson, HoldsSiValuesPerReport) {
    auto other = full_report();
    other.time.step *= 2;
    const std::vector<std::string> labels{"a", "b"};
    const auto root = nlohmann::json::parse(render_comparison_json(labels, std::vector{full_report(), other}));
    EXPECT_EQ(root.at("compared"), (nlohmann::json{"a", "b"}));
    EXPECT_TRUE(root.at("scenario").empty());
    for (const auto& row : root.at("quantities")) {
        const bool step = row.at("section") == "time" && row.at("name") == "step";
        EXPECT_DOUBLE_EQ(row.at("relative_difference"), step ? 0.5 : 0) << row;
        if (step) { EXPECT_DOUBLE_EQ(row.at("values").at(1), 960e-9); }
    }
}

TEST(CompareTable, ShowsValuesAndChange) {
    auto other = full_report();
    other.time.step *= 1.5;
    other.scenario[3].second = "0";
    const std::vector<std::string> labels{"stage3", "stage0"};
    const std::string text = render_comparison(labels, std::vector{full_report(), other});
    EXPECT_THAT(text, HasSubstr("strategy.zero-stage"));
    EXPECT_THAT(text, HasSubstr("+50.0 %"));
    EXPECT_THAT(text, HasSubstr("memory after step\n    parameter shard"));
    EXPECT_THAT(text, Not(HasSubstr("bucket")));
}

}  // namespace
}  // namespace zerosim::report
