// What a rank on a GPU measured beside its trace: over the wire, and folded into a report.
#include "cli/run/rank_results.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::cli {
namespace {

constexpr std::int64_t kMebibyte = 1 << 20;

exec::RankResult rank(std::vector<comm::PathUse> paths) {
    exec::RankResult result;
    result.peak_bytes = 7;
    result.driver.before = 10 * kMebibyte;
    result.driver.parts = {500 * kMebibyte, 900 * kMebibyte, 100 * kMebibyte, 64 * kMebibyte};
    result.driver.settled = result.driver.at_end = 1600 * kMebibyte;
    result.driver.total = 80 * 1024 * kMebibyte;
    result.paths = std::move(paths);
    return result;
}

analysis::RunReport report_of(std::size_t ranks) {
    analysis::RunReport report;
    for (std::size_t i = 0; i < ranks; ++i) report.ranks.push_back({static_cast<std::int64_t>(i), 1, {}, {}});
    return report;
}

TEST(RankResults, DeviceFiguresAndPathsSurviveTheirJourney) {
    exec::RankResult sent = rank({{"nvlink", "P2P/CUMEM", 24}, {"network", "NET/IB/GDRDMA", 2}});
    sent.remarks = {"a slow product", ""};
    const exec::RankResult got = rank_result_from_bytes(to_bytes(sent));
    EXPECT_EQ(got.paths, sent.paths);
    EXPECT_EQ(got.remarks, sent.remarks);
    EXPECT_EQ(got.peak_bytes, 7);
    EXPECT_EQ(got.driver.parts, sent.driver.parts);
    EXPECT_EQ(got.driver.at_end, sent.driver.at_end);
    EXPECT_FALSE(rank_result_from_bytes(to_bytes({})).driver.measured());
}

TEST(RankResults, EachRanksDeviceIsReportedAndPathsAreCounted) {
    analysis::RunReport report = report_of(2);
    add_devices(report, {rank({{"nvlink", "P2P/CUMEM", 24}}), rank({{"nvlink", "P2P/CUMEM", 24}, {"host", "SHM/direct", 2}})}, "auto");
    ASSERT_TRUE(report.ranks[1].memory.driver.has_value());
    EXPECT_EQ(report.memory.context, (500 + 64 + 26) * kMebibyte) << "context, libraries, and what nobody named";
    EXPECT_EQ(report.memory.communicator, 100 * kMebibyte);
    ASSERT_TRUE(report.transport.has_value());
    EXPECT_EQ(report.transport->asked, "auto");
    ASSERT_EQ(report.transport->used.size(), 2u);
    EXPECT_EQ(report.transport->used[0].ranks, 2);
    EXPECT_EQ(report.transport->used[0].channels, 48);
    EXPECT_EQ(report.transport->used[1].path, "host");
}

TEST(RankResults, WhatDevicesRemarkIsSaidOnce) {
    std::vector<exec::RankResult> ranks(3);
    ranks[1].remarks = ranks[2].remarks = {"a slow product"};
    analysis::RunReport report = report_of(3);
    add_devices(report, ranks, "auto");
    EXPECT_THAT(report.notes, testing::ElementsAre("a slow product"));
}

TEST(RankResults, RanksOnCpusAddNothing) {
    analysis::RunReport report = report_of(2);
    add_devices(report, std::vector<exec::RankResult>(2), "auto");
    EXPECT_FALSE(report.memory.driver.has_value());
    EXPECT_FALSE(report.transport.has_value());
}

}  // namespace
}  // namespace zerosim::cli
