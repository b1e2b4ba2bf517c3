#include "analysis/step_interval.hpp"

#include <gtest/gtest.h>

namespace zerosim::analysis {
namespace {

TEST(StepInterval, ClassesMoveByTheirMedianAndSpreadAsSquares) {
    schedule::Schedule schedule;
    schedule.axes = {{schedule.names.intern("shard"), 8, 1}, {schedule.names.intern("replicate"), 4, 8}};
    cluster::Cluster cluster;
    cluster.devices_per_node = 8;
    cluster::Residuals residuals;
    residuals.coverage = 0.8;
    residuals.compute = {-0.05, 0.0, 0.1};
    residuals.within_node = {-0.1, 0.1, 0.2};
    residuals.network = {-0.5, 0.0, 0.5};
    residuals.host = {-0.2, 0.0, 0.4};
    const std::vector<StepPart> parts{{"compute", "gemm", 6}, {"copies", "PCIe copies", 2}, {"communication", "all-gather shard", 1},
                                      {"waiting", "all-reduce replicate", 0.5}, {"host", "issue", 1}};
    const std::optional<StepInterval> interval = step_interval(schedule, cluster, parts, residuals);
    ASSERT_TRUE(interval.has_value());
    EXPECT_DOUBLE_EQ(interval->coverage, 0.8);
    EXPECT_NEAR(interval->low, 10.6 - std::sqrt(0.4 * 0.4 + 0.2 * 0.2 + 0.25 * 0.25 + 0.2 * 0.2), 1e-12);
    EXPECT_NEAR(interval->high, 10.6 + std::sqrt(0.8 * 0.8 + 0.1 * 0.1 + 0.25 * 0.25 + 0.4 * 0.4), 1e-12);
}

TEST(StepInterval, HoldsThePredictionWhereTheMedianIsBesideIt) {
    cluster::Residuals residuals;
    residuals.compute = {0.06, 0.12, 0.18};
    const std::vector<StepPart> parts{{"compute", "gemm", 10}};
    const auto slow = step_interval({}, {}, parts, residuals);
    EXPECT_DOUBLE_EQ(slow->low, 10);
    EXPECT_DOUBLE_EQ(slow->high, 11.8);
    residuals.compute = {-0.18, -0.12, -0.06};
    const auto fast = step_interval({}, {}, parts, residuals);
    EXPECT_DOUBLE_EQ(fast->low, 8.2);
    EXPECT_DOUBLE_EQ(fast->high, 10);
}

TEST(StepInterval, ThereIsNoneWhereTheStepIsMostlyWhatNobodyMeasured) {
    const schedule::Schedule schedule;
    const cluster::Residuals residuals;
    const auto with = [&](const char* group, const char* name, double seconds) {
        return step_interval(schedule, {}, std::vector<StepPart>{{"compute", "gemm", 10}, {group, name, seconds}}, residuals).has_value();
    };
    EXPECT_TRUE(with("compute", "NVMe transfers", 0.5));
    EXPECT_FALSE(with("compute", "NVMe transfers", 1));
    EXPECT_FALSE(with("copies", "NVMe copies", 1));
    EXPECT_FALSE(with("host", "compute", 1)) << "the optimizer on the host";
    EXPECT_TRUE(with("host", "issue", 1));
    EXPECT_TRUE(with("copies", "PCIe copies", 1));
}

}  // namespace
}  // namespace zerosim::analysis
