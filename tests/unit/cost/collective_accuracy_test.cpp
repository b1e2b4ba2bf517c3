// cost::collective_seconds against published sweeps (tests/truth/collectives): no cluster may get worse than what was reached.
// A sweep's error is the median over its sizes of |predicted / measured - 1|. docs/accuracy.md says what the limits mean.
#include "config/cluster_file.hpp"
#include "cost/cost.hpp"
#include "support/collective_sweeps.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

namespace zerosim::cost {
namespace {

struct Score {
    double all = 0, large = 0; // median over the cluster's sweeps
    int sweeps = 0, within = 0;
};

Score score(const std::vector<test::Sweep>& sweeps) {
    std::vector<double> all, large;
    Score result;
    for (const test::Sweep& sweep : sweeps) {
        const cluster::Cluster cluster =
            config::load_cluster(fmt::format("{}/configs/clusters/{}.cfg", ZEROSIM_SOURCE_DIR, sweep.cluster));
        std::vector<double> errors, large_errors;
        for (const test::Point& point : sweep.points) {
            const double predicted = collective_seconds(sweep.kind, point.bytes, sweep.ranks, sweep.stride, cluster);
            errors.push_back(std::abs(predicted / point.seconds - 1));
            if (point.bytes >= test::kLargeBytes) large_errors.push_back(errors.back());
        }
        all.push_back(test::median(errors));
        large.push_back(large_errors.empty() ? 0.0 : test::median(large_errors));
        result.within += all.back() <= 0.15 && large.back() <= 0.08;
        ++result.sweeps;
    }
    result.all = test::median(all);
    result.large = test::median(large);
    return result;
}

TEST(CollectiveAccuracy, published_sweeps_stay_as_near_as_they_were) {
    std::map<std::string, std::vector<test::Sweep>> by_cluster;
    for (test::Sweep& sweep : test::collective_sweeps())
        if (sweep.use == "score") by_cluster[sweep.cluster].push_back(std::move(sweep));
    const std::vector<test::Limit> limits = test::collective_limits();
    EXPECT_EQ(limits.size(), by_cluster.size()) << "tests/truth/collectives/limits.csv has a row for each cluster with scored sweeps";
    for (const test::Limit& limit : limits) {
        ASSERT_TRUE(by_cluster.contains(limit.cluster)) << limit.cluster;
        const Score reached = score(by_cluster[limit.cluster]);
        EXPECT_LE(reached.all, limit.all) << limit.cluster << ": median error over all sizes";
        EXPECT_LE(reached.large, limit.large) << limit.cluster << ": median error from 16 MiB up";
        EXPECT_GE(reached.within, limit.within) << limit.cluster << ": of " << reached.sweeps << " sweeps within 15 % and 8 %";
    }
}

} // namespace
} // namespace zerosim::cost
