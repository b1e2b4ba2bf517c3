// The reference that tells the state of the links: measured on every rank, kept with the calibration, compared by a run.
#include "cli/collectives/link_reference.hpp"

#include "cli/calibrate/calibrate_collectives.hpp"
#include "cli/run/rank_results.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::cli {
namespace {

TEST(LinkReference, IsPositiveAndTheSameOnEveryRank) {
    RankTeam team(3, 60);
    std::vector<double> seconds(3);
    team.run([&](TeamRank& rank) { seconds[static_cast<std::size_t>(rank.rank())] = link_reference_seconds(rank); });
    EXPECT_GT(seconds[0], 0);
    EXPECT_THAT(seconds, testing::Each(seconds[0]));
}

TEST(LinkReference, OfACalibrationIsTheMedianOfItsStates) {
    const auto round = [](double reference) { return std::vector<LinkSample>{{{}, reference}}; };
    EXPECT_DOUBLE_EQ(steady_links({round(17e-6), round(10e-6), round(16e-6)}).reference_seconds, 16e-6);
    EXPECT_EQ(steady_links({}).reference_seconds, 0);
}

cluster::Cluster calibrated(double seconds, std::int64_t ranks) {
    cluster::Cluster cluster;
    cluster.transport.reference_seconds = seconds;
    cluster.transport.reference_ranks = ranks;
    return cluster;
}

TEST(LinkReference, OfARunStandsBesideTheCalibrationOfAsManyRanks) {
    analysis::RunReport report;
    add_links(report, {20e-6, 21e-6}, calibrated(10e-6, 4), 4);
    ASSERT_TRUE(report.links.has_value());
    EXPECT_EQ(report.links->reference_bytes, 65536);
    EXPECT_EQ(report.links->before, 20e-6);
    EXPECT_EQ(report.links->after, 21e-6);
    EXPECT_EQ(report.links->calibrated, 10e-6);
    EXPECT_THAT(report.notes, testing::ElementsAre(analysis::links_line(report)));
    EXPECT_THAT(report.notes[0], testing::HasSubstr("2.1 times too short"));
}

TEST(LinkReference, OfAnotherNumberOfRanksIsNotCompared) {
    analysis::RunReport report;
    add_links(report, {20e-6, 21e-6}, calibrated(10e-6, 2), 4);
    EXPECT_EQ(report.links->before, 20e-6);
    EXPECT_EQ(report.links->calibrated, 0);
    EXPECT_TRUE(report.notes.empty());
}

}  // namespace
}  // namespace zerosim::cli
