#include "cli/sweep/sweep_points.hpp"

#include "base/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

config::Values values(const std::vector<std::pair<std::string, std::string>>& given) {
    config::Values result;
    for (const auto& [key, value] : given) result.set(key, value, "test");
    return result;
}

/// micro-batch x accumulation at `ranks` ranks.
std::string batch(const config::Values& asked, const std::string& over, const std::vector<std::string>& point) {
    const auto axes = sweep_axes(over);
    const config::Values settled = point_values(asked, axes, point, reference_batch(asked, axes));
    return settled.text("train.micro-batch") + "x" + settled.text("train.gradient-accumulation") + "=" + settled.text("train.global-batch");
}

TEST(SweepPoints, ListsAndDoublings) {
    const auto axes = sweep_axes("ranks=8..50,64;train.micro-batch=1,2");
    ASSERT_EQ(axes.size(), 2u);
    EXPECT_EQ(axes[0].key, "ranks");
    EXPECT_THAT(axes[0].values, ElementsAre("8", "16", "32", "64"));
    const auto points = combinations(axes);
    ASSERT_EQ(points.size(), 8u);
    EXPECT_THAT(points[1], ElementsAre("8", "2"));   // the last axis varies fastest
    EXPECT_THAT(points[2], ElementsAre("16", "1"));
}

TEST(SweepPoints, WhatIsNotUnderstoodIsRefused) {
    EXPECT_THAT([] { (void)sweep_axes(""); }, ThrowsMessage<ConfigError>(HasSubstr("--over")));
    EXPECT_THAT([] { (void)sweep_axes("ranks"); }, ThrowsMessage<ConfigError>(HasSubstr("KEY=VALUE")));
    EXPECT_THAT([] { (void)sweep_axes("rank=8"); }, ThrowsMessage<ConfigError>(HasSubstr("ranks")));
    EXPECT_THAT([] { (void)sweep_axes("ranks=64..8"); }, ThrowsMessage<ConfigError>(HasSubstr("FROM..TO")));
    EXPECT_THAT([] { (void)sweep_axes("ranks=1,2;ranks=4"); }, ThrowsMessage<ConfigError>(HasSubstr("twice")));
    EXPECT_THAT([] { (void)scaling_of(values({{"strong", "true"}, {"weak", "true"}})); }, ThrowsMessage<ConfigError>(HasSubstr("exclude")));
}

TEST(SweepPoints, WeakScalingKeepsARanksBatch) {
    const auto asked = values({{"train.micro-batch", "4"}, {"train.gradient-accumulation", "2"}});
    EXPECT_EQ(batch(asked, "ranks=8,64", {"64"}), "4x2=512");
    // A scenario with a global batch: the share of its own number of ranks.
    const auto global = values({{"ranks", "16"}, {"train.global-batch", "64"}, {"train.gradient-accumulation", "2"}, {"weak", "true"}});
    EXPECT_EQ(batch(global, "ranks=8,64", {"64"}), "2x2=256");
}

TEST(SweepPoints, StrongScalingKeepsTheGlobalBatch) {
    const auto asked = values({{"train.micro-batch", "8"}, {"strong", "true"}});
    EXPECT_EQ(batch(asked, "ranks=8,16,32,64", {"8"}), "8x1=64");
    EXPECT_EQ(batch(asked, "ranks=8,16,32,64", {"32"}), "2x1=64");   // a smaller micro-batch
    const auto more = values({{"train.micro-batch", "4"}, {"train.global-batch", "96"}});
    EXPECT_EQ(batch(more, "ranks=2,8", {"2"}), "4x12=96");
    EXPECT_EQ(batch(more, "ranks=2,16", {"16"}), "3x2=96");   // of 6 sequences a rank, 4 do not divide
}

TEST(SweepPoints, WhatDoesNotDivideSaysWhatWould) {
    const auto asked = values({{"train.global-batch", "64"}});
    EXPECT_THAT([&] { (void)batch(asked, "ranks=8,48", {"48"}); }, ThrowsMessage<ConfigError>(HasSubstr("32 or 64 ranks divide it")));
    EXPECT_THAT([&] { (void)batch(asked, "ranks=8,128", {"128"}); }, ThrowsMessage<ConfigError>(HasSubstr("64 ranks divide it")));
    EXPECT_THAT([&] { (void)batch(asked, "ranks=16;train.micro-batch=1,3", {"16", "3"}); }, ThrowsMessage<ConfigError>(HasSubstr("these divide: 1, 2, 4")));
    EXPECT_THAT([&] { (void)batch(values({{"weak", "true"}}), "train.global-batch=8,16", {"8"}); }, ThrowsMessage<ConfigError>(HasSubstr("--strong")));
}

}  // namespace
}  // namespace zerosim::cli
