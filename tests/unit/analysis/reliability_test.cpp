// The cost of failures: closed formulas against a seeded simulation, failure by failure.
#include "analysis/reliability.hpp"

#include "base/rng.hpp"
#include "schedule/builder.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace zerosim::analysis {
namespace {

/// Exponential draws from a counter.
class Draws {
public:
    explicit Draws(std::uint64_t seed) : seed_(seed) {}
    double exponential(double mean) { return -mean * std::log1p(-unit_double(hash64(seed_, counter_++))); }

private:
    std::uint64_t seed_, counter_ = 0;
};

/// Share of useful time of a job that computes `interval`, writes a checkpoint, and so on; failures throw it back, restarts fail too.
double simulated_share(double mtbf, double checkpoint, double interval, double restart, std::uint64_t seed) {
    Draws draws(seed);
    double now = 0, useful = 0, failure = draws.exponential(mtbf);
    for (int done = 0; done < 20'000;) {
        if (now + interval + checkpoint <= failure) {
            now += interval + checkpoint;
            useful += interval;
            ++done;
            continue;
        }
        for (now = failure;; now = failure) {
            failure = now + draws.exponential(mtbf);
            if (now + restart > failure) continue;
            now += restart;
            break;
        }
    }
    return useful / now;
}

TEST(Reliability, the_kept_share_is_that_of_a_simulation) {
    struct Case {
        double mtbf, checkpoint, interval, restart;
    };
    for (const Case& c : {Case{3600, 30, 450, 300}, Case{10'000, 200, 1500, 900}, Case{1000, 100, 300, 50}, Case{1e5, 10, 600, 1200}})
        EXPECT_NEAR(kept_share(c.mtbf, c.checkpoint, c.interval, c.restart), simulated_share(c.mtbf, c.checkpoint, c.interval, c.restart, 11), 0.01)
            << "mtbf " << c.mtbf;
}

TEST(Reliability, no_interval_keeps_more_than_the_optimal_one) {
    for (const double mtbf : {500.0, 3600.0, 1e5})
        for (const double checkpoint : {1.0, 30.0, 300.0}) {
            const double best = optimal_interval(mtbf, checkpoint), kept = kept_share(mtbf, checkpoint, best, 600);
            for (const double factor : {0.5, 0.8, 1.25, 2.0})
                EXPECT_GE(kept * 1.003, kept_share(mtbf, checkpoint, best * factor, 600)) << mtbf << " " << checkpoint << " " << factor;
        }
    EXPECT_NEAR(optimal_interval(1e6, 1), std::sqrt(2e6), 2) << "Young's, where checkpoints are short";
}

TEST(Reliability, the_optimum_is_that_of_dalys_figures) {
    // Daly 2006, captions of figures 3 to 5: M = 24 h, 6 h and 15 min, a dump of 5 min: 117, 57 and 9.1 min.
    EXPECT_NEAR(optimal_interval(24 * 60, 5), 117, 0.5);
    EXPECT_NEAR(optimal_interval(6 * 60, 5), 57, 0.5);
    EXPECT_NEAR(optimal_interval(15, 5), 9.1, 0.05);
}

TEST(Reliability, a_job_stands_still_as_often_as_a_simulation_runs_out_of_nodes) {
    // Nodes fail while the job runs; repairs take exponential times; the job needs all but the spares.
    constexpr double mtbf = 10, repair = 25;
    for (const std::int64_t spares : {0, 2, 5}) {
        Draws draws(5);
        double running = 0, standing = 0;
        for (std::int64_t event = 0, away = 0; event < 400'000; ++event) {
            const bool stopped = away > spares;
            const double fails = stopped ? INFINITY : draws.exponential(mtbf), back = away > 0 ? draws.exponential(repair / static_cast<double>(away)) : INFINITY;
            (stopped ? standing : running) += std::min(fails, back);
            away += fails < back ? 1 : -1;
        }
        EXPECT_NEAR(without_spare(repair / mtbf, spares), standing / (running + standing), 0.01) << spares;
    }
}

TEST(Reliability, llama_3_lost_about_what_it_reported) {
    cluster::Cluster cluster;
    cluster.devices_per_node = 8;
    const ReliabilityReport report = reliability(cluster, 16384, 405'853'388'800 * 14, 10);
    EXPECT_NEAR(report.mtbf, 54.0 * 86400 / 419, 1);
    EXPECT_NEAR(report.checkpoint, 405'853'388'800.0 * 14 / 2e12, 1e-9);
    // "higher than 90% effective training time" (arXiv 2407.21783, section 3.3.4).
    EXPECT_GT(report.goodput, 0.9);
    EXPECT_LT(report.goodput, 0.97);
    EXPECT_NEAR(report.goodput + report.checkpoint_share + report.failure_share + report.spare_share, 1, 1e-12);
}

TEST(Reliability, intervals_are_whole_steps_and_asked_ones_are_kept) {
    cluster::Cluster cluster;
    EXPECT_DOUBLE_EQ(std::fmod(reliability(cluster, 1024, 1'000'000'000'000, 8).interval, 8.0), 0.0);
    cluster.reliability.interval_seconds = 1000;
    EXPECT_DOUBLE_EQ(reliability(cluster, 1024, 1'000'000'000'000, 300).interval, 900);
    cluster.reliability.spare_nodes = 0;
    EXPECT_GT(reliability(cluster, 1024, 1'000'000'000'000, 8).spare_share, 0.3) << "a day of repair for each failure";
}

TEST(Reliability, a_checkpoint_holds_what_lives_on_in_its_dtypes) {
    schedule::Schedule schedule;
    schedule::ProgramBuilder builder(schedule);
    const StreamId stream = builder.stream("compute", schedule::StreamKind::compute);
    const PoolId pool = builder.pool("compute", stream);
    const auto add = [&](schedule::Role role, DType type, bool freed) {
        const StorageId storage = builder.storage("state", 64, pool, role);
        builder.tensor("state", storage, type, 1, 64 / size_of(type));
        builder.alloc(storage);
        if (freed) builder.free(storage);
    };
    add(schedule::Role::parameter_shard, DType::bf16, false);
    add(schedule::Role::gathered_parameter, DType::bf16, false);
    add(schedule::Role::master_weight, DType::fp32, false);
    add(schedule::Role::first_moment, DType::fp32, false);
    add(schedule::Role::second_moment, DType::bf16, false);
    add(schedule::Role::gradient_shard, DType::fp32, true);
    builder.finish();
    schedule.roles = {{0, 0, 1}};
    EXPECT_EQ(checkpoint_bytes(schedule, 1000, 100), 1000 * 2 + 100 * (4 + 4 + 2));
}

}  // namespace
}  // namespace zerosim::analysis
