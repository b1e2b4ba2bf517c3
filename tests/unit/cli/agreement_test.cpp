#include "cli/run/agreement.hpp"

#include <gtest/gtest.h>

namespace zerosim::cli {
namespace {

using Lines = std::vector<std::string>;

TEST(Agreement, TheFirstDifferenceIsNamedWithBothSides) {
    EXPECT_EQ(first_difference(Lines{"a = 1", "b = 2"}, Lines{"a = 1", "b = 2"}), "");
    EXPECT_EQ(first_difference(Lines{"a = 1", "b = 2", "c = 3"}, Lines{"a = 1", "b = 5", "c = 4"}), "b = 2, but rank 0 has b = 5");
}

TEST(Agreement, AMissingEndIsADifference) {
    EXPECT_EQ(first_difference(Lines{"a"}, Lines{"a", "collective 0: x"}), "no more collectives, but rank 0 has collective 0: x");
    EXPECT_EQ(first_difference(Lines{"a", "collective 0: x"}, Lines{"a"}), "collective 0: x, but rank 0 has no more collectives");
}

TEST(Agreement, LinesSurviveBeingSent) {
    const Lines lines{"model = gpt-mini", "", "train.steps = 3"};
    EXPECT_EQ(split_lines(join_lines(lines)), lines);
    EXPECT_EQ(split_lines("no end"), Lines{"no end"});
    EXPECT_TRUE(split_lines("").empty());
}

TEST(Voices, WhatAllSayIsSaidOnceByNobodyInParticular) {
    const auto all = voices({"x", "x", "x"});
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].who, "");
    EXPECT_EQ(all[0].text, "x");
}

TEST(Voices, DifferentOnesNameTheirRanks) {
    const auto all = voices({"", "x", "y", "x"});
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].who, "rank 1 and 1 more of 4");
    EXPECT_EQ(all[1].who, "rank 2 of 4");
    EXPECT_EQ(all[1].text, "y");
    EXPECT_TRUE(voices({"", ""}).empty());
}

}  // namespace
}  // namespace zerosim::cli
