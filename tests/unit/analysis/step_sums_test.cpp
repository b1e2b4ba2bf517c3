// Over many scenarios: the parts of every simulated step add up to it, and so does its critical path, to the nanosecond.
#include "analysis/breakdown.hpp"
#include "analysis/critical_path.hpp"
#include "analysis/step_parts.hpp"
#include "config/cluster_file.hpp"
#include "sim/simulate.hpp"
#include "support/scenarios.hpp"
#include "trace/matching.hpp"

#include <gtest/gtest.h>

#include <numeric>

namespace zerosim::analysis {
namespace {

using strategy::System;

struct Case {
    System system;
    int stage;
    std::int64_t ranks;
    const char* cluster;
    std::int64_t accumulation = 1;
    bool overlap = true;
};

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const char* cluster : {"h100-sxm", "l40s-pcie", "v100-sxm-32gb", "local"})
        for (const std::int64_t ranks : {1, 3, 8, 24})
            for (const std::int64_t accumulation : {1, 2}) {
                for (const int stage : {0, 1, 2, 3}) {
                    all.push_back({System::zerosim, stage, ranks, cluster, accumulation});
                    all.push_back({System::zerosim, stage, ranks, cluster, accumulation, false});
                }
                all.push_back({System::ddp, 0, ranks, cluster, accumulation});
                for (const int stage : {2, 3}) all.push_back({System::fsdp2, stage, ranks, cluster, accumulation});
                all.push_back({System::fsdp, 3, ranks, cluster, accumulation});
            }
    return all;
}

strategy::Scenario scenario_of(const Case& c) {
    strategy::Scenario s = test::scenario(test::tiny_llama(), c.stage, c.ranks);
    s.strategy.system = c.system;
    s.strategy.overlap_communication = c.overlap;
    s.training.gradient_accumulation = c.accumulation;
    s.training.precision = strategy::Precision::bf16_mixed;
    s.cluster = config::load_cluster(c.cluster, {{std::filesystem::path(ZEROSIM_SOURCE_DIR) / "configs"}});
    if (c.system != System::zerosim && !s.cluster.device.is_cpu) s.cluster.software = cluster::software("torch-2.11");
    s.library = s.cluster.device.is_cpu ? kernel::Library::host : kernel::Library::cuda;
    return s;
}

void expect_sums(const schedule::Schedule& schedule, const StepTimes& step, const std::vector<const StepTimes*>& steps, std::size_t rank) {
    const Breakdown b = breakdown(step);
    std::int64_t sum = 0;
    for (const NamedPart& part : named_parts(schedule, step, b)) {
        EXPECT_GT(part.length, 0) << part.group << ' ' << part.name;
        sum += part.length;
    }
    EXPECT_EQ(sum, step.length());
    EXPECT_EQ(b.compute() + b.idle.total(), step.length());
    std::int64_t at = step.end;
    for (const PathStretch& stretch : critical_path([&](std::size_t index) { return steps.at(index); }, rank)) {
        ASSERT_EQ(stretch.end, at);
        ASSERT_LT(stretch.begin, stretch.end);
        at = stretch.begin;
    }
    EXPECT_EQ(at, step.start);
}

TEST(StepSums, PartsAndCriticalPathAddUpToTheStep) {
    for (const Case& c : cases()) {
        SCOPED_TRACE(testing::Message() << "system " << static_cast<int>(c.system) << " stage " << c.stage << " ranks " << c.ranks << " on " << c.cluster << " accumulation "
                                        << c.accumulation << (c.overlap ? "" : " no overlap"));
        const strategy::Scenario scenario = scenario_of(c);
        const schedule::Schedule schedule = strategy::plan(scenario);
        const trace::Trace trace = sim::simulate(schedule, scenario.cluster, 3);
        const auto matched = trace::match_collectives(schedule, trace);
        std::vector<std::vector<StepTimes>> all;
        for (std::size_t rank = 0; rank < trace.ranks.size(); ++rank) all.push_back(timed_steps(schedule, trace, matched, rank));
        for (std::size_t i = 0; i < all.front().size(); ++i) {
            std::vector<const StepTimes*> steps;
            for (const auto& rank : all) steps.push_back(&rank[i]);
            for (std::size_t rank = 0; rank < all.size(); ++rank) expect_sums(schedule, all[rank][i], steps, rank);
        }
        if (HasFailure()) return;
    }
}

/// What the path says has no slack has none: when its kernels take longer, the step does.
TEST(StepSums, APathOpThatTakesLongerMakesTheStepLonger) {
    const strategy::Scenario scenario = scenario_of({System::zerosim, 3, 8, "h100-sxm"});
    const schedule::Schedule schedule = strategy::plan(scenario);
    const auto step_of = [&](double launch_time) {
        cluster::Cluster slower = scenario.cluster;
        slower.device.kernel_launch_seconds *= launch_time;
        const trace::Trace trace = sim::simulate(schedule, slower, 3);
        return timed_steps(schedule, trace, trace::match_collectives(schedule, trace), 0).back();
    };
    const StepTimes step = step_of(1);
    std::int64_t kernels = 0;
    for (const PathStretch& stretch : critical_path([&](std::size_t) { return &step; }, 0)) {
        if (stretch.kind != PathStretch::Kind::op) continue;
        const schedule::OpKind kind = schedule.programs.front().op(stretch.op).kind;
        kernels += kind == schedule::OpKind::compute || kind == schedule::OpKind::optimizer || kind == schedule::OpKind::copy;
    }
    // A launch costs 10 % more: at least the launches on the path are longer.
    const double launch = scenario.cluster.device.kernel_launch_seconds * 1e9;
    EXPECT_GE(static_cast<double>(step_of(1.1).length() - step.length()), 0.1 * launch * static_cast<double>(kernels) - static_cast<double>(kernels));
}

}  // namespace
}  // namespace zerosim::analysis
