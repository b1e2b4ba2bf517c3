#include "analysis/compare.hpp"

#include "unit/analysis/hand_made.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace zerosim::analysis {
namespace {

RunReport base() {
    const auto example = hand_made::example();
    return analyze(example.schedule, hand_made::measured(example.ops), hand_made::cluster(), hand_made::facts());
}

const ComparedValue* find(const std::vector<ComparedValue>& rows, std::string_view section, std::string_view name) {
    const auto at = std::ranges::find_if(rows, [&](const ComparedValue& row) { return row.section == section && row.name == name; });
    return at == rows.end() ? nullptr : &*at;
}

TEST(Compare, EqualReportsDoNotDiffer) {
    const std::vector<RunReport> reports{base(), base()};
    const auto rows = compare(reports);
    EXPECT_GT(rows.size(), 10u);
    for (const ComparedValue& row : rows) EXPECT_EQ(row.difference(), 0) << row.name;
    EXPECT_TRUE(differing_keys(reports).empty());
}

TEST(Compare, NamesWhatDiffers) {
    std::vector<RunReport> reports{base(), base(), base()};
    reports[1].time.step *= 1.25;
    reports[2].time.step *= 2;
    reports[2].collectives.erase(reports[2].collectives.begin());   // no gather there: compared as 0
    reports[2].scenario[3].second = "0";
    const auto rows = compare(reports);
    ASSERT_NE(find(rows, "time", "step"), nullptr);
    EXPECT_DOUBLE_EQ(find(rows, "time", "step")->difference(), 0.5);
    const ComparedValue* gather = find(rows, "bytes sent per step", "all-gather world forward");
    ASSERT_NE(gather, nullptr);
    EXPECT_EQ(gather->values, (std::vector<double>{64, 64, 0}));
    EXPECT_DOUBLE_EQ(gather->difference(), 1);
    EXPECT_EQ(find(rows, "memory at peak", "bucket"), nullptr);     // nobody has one
    const auto keys = differing_keys(reports);
    ASSERT_EQ(keys.size(), 1u);
    EXPECT_EQ(keys[0].key, "strategy.zero-stage");
    EXPECT_EQ(keys[0].values, (std::vector<std::string>{"3", "3", "0"}));
}

// A scenario says 5e8, the result file of the same job 500000000.
TEST(Compare, NumbersAreTheSameHoweverTheyAreWritten) {
    std::vector<RunReport> reports{base(), base()};
    reports[0].scenario.emplace_back("strategy.reduce-bucket-size", "5e8");
    reports[1].scenario.emplace_back("strategy.reduce-bucket-size", "500000000");
    EXPECT_TRUE(differing_keys(reports).empty());
    reports[0].scenario.emplace_back("train.learning-rate", "1e-3");
    reports[1].scenario.emplace_back("train.learning-rate", "0.002");
    ASSERT_EQ(differing_keys(reports).size(), 1u);
    EXPECT_EQ(differing_keys(reports)[0].key, "train.learning-rate");
}

// A prediction beside a measurement: no loss is not a loss of 0.
TEST(Compare, TrainingIsLeftOutWhereOneHasNone) {
    std::vector<RunReport> reports{base(), base()};
    TrainingReport training;
    training.losses = {2.0, 1.5};
    training.gradient_norms = {1.0, 0.5};
    reports[0].training = reports[1].training = training;
    ASSERT_NE(find(compare(reports), "training", "last loss"), nullptr);
    EXPECT_EQ(find(compare(reports), "training", "last loss")->values, (std::vector<double>{1.5, 1.5}));
    reports[1].training.reset();
    EXPECT_EQ(find(compare(reports), "training", "last loss"), nullptr);
}

TEST(Compare, utilizations_of_different_peaks_are_noted) {
    RunReport bf16, fp8;
    bf16.peak_flops = 989.4e12, bf16.peak_dtype = "bf16", bf16.model_flops_utilization = 0.4;
    fp8.peak_flops = 1978.9e12, fp8.peak_dtype = "fp8", fp8.model_flops_utilization = 0.25, fp8.utilization_of_16_bit_peak = 0.5;
    const std::vector<std::string> labels{"a", "b"};
    EXPECT_TRUE(comparison_notes(labels, std::vector{bf16, bf16}).empty());
    EXPECT_TRUE(comparison_notes(labels, std::vector{fp8, RunReport{}}).empty()) << "a report without a peak has none to differ";
    const auto notes = comparison_notes(labels, std::vector{bf16, fp8});
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_NE(notes[0].find("b of 1979 TFLOP/s (fp8)"), std::string::npos) << notes[0];
    EXPECT_NE(notes[0].find("of its 16-bit peak b has 50.0 %"), std::string::npos) << notes[0];
}

}  // namespace
}  // namespace zerosim::analysis
