#include "analysis/intervals.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace zerosim::analysis {
namespace {

TEST(Cover, CountsEachInstantOnce) {
    Cover cover;
    EXPECT_EQ(cover.claim({10, 20}), 10);
    EXPECT_EQ(cover.claim({0, 5}), 5);
    EXPECT_EQ(cover.claim({4, 12}), 5);
    EXPECT_EQ(cover.claim({0, 20}), 0);
    EXPECT_EQ(cover.claim({20, 20}), 0);
    EXPECT_EQ(cover.claim({30, 40}), 10);
    EXPECT_EQ(cover.claim({-5, 50}), 25);
}

RC_GTEST_PROP(CoverProperties, SumsToTheUnion, (const std::vector<std::pair<std::uint8_t, std::uint8_t>>& spans)) {
    Cover cover;
    std::int64_t claimed = 0;
    std::vector<Interval> all;
    for (const auto& [begin, length] : spans) {
        all.push_back({begin, begin + length});
        claimed += cover.claim(all.back());
    }
    RC_ASSERT(claimed == union_length(all));
}

}  // namespace
}  // namespace zerosim::analysis
