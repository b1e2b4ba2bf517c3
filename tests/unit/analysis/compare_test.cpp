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

}  // namespace
}  // namespace zerosim::analysis
