#include "analysis/critical_path.hpp"

#include "trace/matching.hpp"
#include "unit/analysis/hand_made.hpp"

#include <gtest/gtest.h>

namespace zerosim::analysis {
namespace {

struct Walked {
    std::vector<StepTimes> steps;   // step 2 of each rank
    std::vector<PathStretch> path;
};

/// Of steps that the test holds.
StepOfRank given(std::vector<const StepTimes*> steps) {
    return [steps = std::move(steps)](std::size_t rank) { return steps.at(rank); };
}

Walked walk(const hand_made::Example& example, const trace::Trace& trace, std::size_t rank) {
    Walked walked;
    const auto matched = trace::match_collectives(example.schedule, trace);
    for (std::size_t index = 0; index < trace.ranks.size(); ++index) walked.steps.push_back(timed_steps(example.schedule, trace, matched, index).at(0));
    std::vector<const StepTimes*> pointers;
    for (const StepTimes& step : walked.steps) pointers.push_back(&step);
    walked.path = critical_path(given(pointers), rank);
    return walked;
}

/// Stretches follow each other from the end to the begin of the step.
void expect_whole(const Walked& walked, std::size_t rank) {
    const StepTimes& step = walked.steps[rank];
    std::int64_t at = step.end;
    for (const PathStretch& stretch : walked.path) {
        EXPECT_EQ(stretch.end, at);
        EXPECT_LT(stretch.begin, stretch.end);
        at = stretch.begin;
    }
    EXPECT_EQ(at, step.start);
}

TEST(CriticalPath, FollowsDependencesToTheLatePeer) {
    const auto example = hand_made::example();
    const Walked walked = walk(example, hand_made::measured(example.ops), 0);
    expect_whole(walked, 0);
    const auto& ops = example.ops;
    using Kind = PathStretch::Kind;
    const auto expect = [&](std::size_t i, Kind kind, OpId op, std::int64_t length, std::uint32_t rank) {
        ASSERT_LT(i, walked.path.size());
        EXPECT_EQ(walked.path[i].kind, kind) << i;
        EXPECT_EQ(walked.path[i].op, op) << i;
        EXPECT_EQ(walked.path[i].end - walked.path[i].begin, length) << i;
        EXPECT_EQ(walked.path[i].rank_index, rank) << i;
    };
    expect(0, Kind::host, ops.wait, 5, 0);         // 470..475: the host wakes up after the norm
    expect(1, Kind::op, ops.norm, 14, 0);
    expect(2, Kind::host, ops.norm, 1, 0);         // 455..456: handed over
    expect(3, Kind::op, ops.adamw, 50, 0);
    expect(4, Kind::host, ops.adamw, 5, 0);
    expect(5, Kind::op, ops.reduce, 40, 0);
    EXPECT_TRUE(walked.path[5].waited_for_host);   // B ended at 355, the host issued the reduction at 356
    expect(6, Kind::host, ops.reduce, 4, 0);
    expect(7, Kind::host, ops.backward, 1, 0);     // 355..356
    expect(8, Kind::op, ops.backward, 100, 0);
    expect(9, Kind::op, ops.second_forward, 100, 0);
    EXPECT_EQ(walked.path[9].waited_for, ops.gather);
    expect(10, Kind::host, ops.second_forward, 5, 0);
    expect(11, Kind::op, ops.gather, 20, 0);
    EXPECT_EQ(walked.path[11].late_rank_index, 1);
    expect(12, Kind::host, ops.gather, 110, 1);    // rank 1 began the gather at 130 that it had issued at 20
    EXPECT_EQ(walked.path.back().rank_index, 1u);
}

TEST(CriticalPath, ALatePeerThatTheTraceDoesNotShowIsAWait) {
    const auto example = hand_made::example();
    Walked walked = walk(example, hand_made::measured(example.ops), 0);
    walked.path = critical_path(given({&walked.steps[0], nullptr}), 0);
    expect_whole(walked, 0);
    const auto lacking = std::ranges::find_if(walked.path, [](const PathStretch& stretch) { return stretch.lacks_member; });
    ASSERT_NE(lacking, walked.path.end());
    EXPECT_EQ(lacking->op, example.ops.gather);
    EXPECT_EQ(lacking->end - lacking->begin, 110);
}

TEST(CriticalPath, FoldsByNameAndPhase) {
    const auto example = hand_made::example();
    const Walked walked = walk(example, hand_made::measured(example.ops), 0);
    const std::array<std::int64_t, 2> ranks{0, 1};
    const CriticalPath report = path_report(example.schedule, walked.path, ranks);
    EXPECT_DOUBLE_EQ(report.step, 475e-9);
    EXPECT_EQ(report.ranks, (std::vector<std::int64_t>{0, 1}));
    double sum = 0;
    for (const PathPart& part : report.parts) sum += part.seconds;
    EXPECT_NEAR(sum, report.step, 1e-18);
    const auto part = [&](std::string_view name, std::string_view phase) {
        const auto found = std::ranges::find_if(report.parts, [&](const PathPart& p) { return p.name == name && p.phase == phase; });
        return found == report.parts.end() ? PathPart{} : *found;
    };
    EXPECT_DOUBLE_EQ(part("gemm", "forward").seconds, 100e-9);   // F2; F1 ran while the gather waited for rank 1
    EXPECT_DOUBLE_EQ(part("gemm", "backward").seconds, 100e-9);
    EXPECT_EQ(part("all-gather world", "forward").waited_for, "rank 1");
    EXPECT_EQ(part("reduce-scatter world", "backward").waited_for, "the host");
    EXPECT_EQ(part("reduce-scatter world", "backward").longest, "reduce");
}

/// compute: F (kernel), then the host waits for it and issues B: as an executor does whose kernels run on the issuing thread.
TEST(CriticalPath, KernelsThatRunOnTheHostsThreadHoldUpTheIssue) {
    using namespace schedule;
    Schedule schedule;
    schedule.axes.push_back({schedule.names.intern("world"), 1, 1});
    ProgramBuilder build(schedule);
    const StreamId compute = build.stream("compute", StreamKind::compute), wire = build.stream("wire", StreamKind::communication);
    build.pool("device", compute);
    build.begin_first();
    build.begin_steady();
    build.tags.phase = Phase::forward;
    const kernel::Attributes none;
    const OpId first = build.compute(compute, "F", kernel::Kernel::linear_forward, {}, none);
    const OpId reduce = build.collective(wire, "reduce", hand_made::collective(CollectiveKind::all_reduce, {}, {}, Reduction::sum));
    schedule.roles.push_back({build.finish(), 0, 1});
    trace::Trace trace;
    trace.ranks.push_back({0, 0, {{1, 0, 0, 2, 80, -1}, {1, 1, 85, 90, 120, -1}}});
    const auto steps = timed_steps(schedule, trace, trace::match_collectives(schedule, trace), 0);
    const auto path = critical_path(given({&steps[0]}), 0);
    ASSERT_EQ(path.size(), 5u);
    EXPECT_EQ(path[0].op, reduce);
    EXPECT_EQ(path[1].kind, PathStretch::Kind::host);      // 85..90: handed over
    EXPECT_EQ(path[2].end - path[2].begin, 5);             // 80..85: the host
    EXPECT_EQ(path[3].op, first);
    EXPECT_EQ(path[3].kind, PathStretch::Kind::op);
    EXPECT_EQ(path[3].end - path[3].begin, 78);
    EXPECT_EQ(path[4].end - path[4].begin, 2);
}

}  // namespace
}  // namespace zerosim::analysis
