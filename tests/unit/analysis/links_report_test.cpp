// The line about links that were not those of the calibration: when it is said, and what.
#include "analysis/links_report.hpp"

#include "analysis/compare.hpp"

#include <gtest/gtest.h>

namespace zerosim::analysis {
namespace {

constexpr std::int64_t kBytes = 1 << 16;

TEST(LinksReport, FasterLinksThanTheCalibratedMakePredictionsTooLong) {
    EXPECT_EQ(links_line({kBytes, 14e-6, 15e-6, 27e-6}, "local"),
              "links: a reference all-gather of 64.0 KiB took 14.0 us before the steps and 15.0 us after them, 27.0 us when 'local' was calibrated: "
              "collectives are predicted up to 1.9 times too long");
}

TEST(LinksReport, OneStateThatChangedWithinTheRunIsEnough) {
    const std::string line = links_line({kBytes, 10e-6, 20e-6, 10e-6}, "mine.cfg");
    EXPECT_NE(line.find("'mine.cfg' was calibrated: collectives are predicted up to 2.0 times too short"), std::string::npos) << line;
    EXPECT_NE(links_line({kBytes, 10e-6, 20e-6, 19e-6}, "local").find("1.9 times too long"), std::string::npos) << "the farther one counts";
}

TEST(LinksReport, NearOrUnknownLinksAreNotMentioned) {
    EXPECT_EQ(links_line({kBytes, 11.4e-6, 8.8e-6, 10e-6}, "local"), "") << "within 15 % each way";
    EXPECT_NE(links_line({kBytes, 11.6e-6, 10e-6, 10e-6}, "local"), "");
    EXPECT_NE(links_line({kBytes, 10e-6, 8.6e-6, 10e-6}, "local"), "");
    EXPECT_EQ(links_line({kBytes, 14e-6, 15e-6, 0}, "local"), "") << "not calibrated, or with another number of ranks";
    EXPECT_EQ(links_line(RunReport{}), "");
}

TEST(LinksReport, AComparisonNamesTheRunWhoseLinksWereOthers) {
    RunReport near, off;
    near.links = LinksReport{kBytes, 10e-6, 10e-6, 10e-6};
    off.links = LinksReport{kBytes, 18e-6, 18e-6, 10e-6};
    off.scenario = {{"cluster", "local"}};
    const auto notes = comparison_notes(std::vector<std::string>{"one", "other"}, std::vector{near, off});
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_EQ(notes[0], "other: " + links_line(*off.links, "local"));
}

}  // namespace
}  // namespace zerosim::analysis
