#include "analysis/breakdown.hpp"

#include "trace/matching.hpp"
#include "unit/analysis/hand_made.hpp"

#include <gtest/gtest.h>

namespace zerosim::analysis {
namespace {

std::vector<StepTimes> steps_of(const schedule::Schedule& schedule, const trace::Trace& trace, std::size_t rank) {
    return timed_steps(schedule, trace, trace::match_collectives(schedule, trace), rank);
}

TEST(Breakdown, SplitsAStepAsByHand) {
    const auto example = hand_made::example();
    const auto trace = hand_made::measured(example.ops);
    const auto steps = steps_of(example.schedule, trace, 0);
    ASSERT_EQ(steps.size(), 2u);   // the first step is left out
    const Breakdown b = breakdown(steps[0]);
    EXPECT_EQ(b.step, 475);
    EXPECT_EQ(b.forward, 255);     // up to the begin of B
    EXPECT_EQ(b.backward, 150);    // up to the begin of A
    EXPECT_EQ(b.optimizer, 70);
    EXPECT_EQ(b.busy[static_cast<std::size_t>(kernel::KernelClass::gemm)], 300);
    EXPECT_EQ(b.busy[static_cast<std::size_t>(kernel::KernelClass::optimizer)], 50);
    EXPECT_EQ(b.compute(), 350);
    EXPECT_EQ(b.communication, 130 + 40 + 14);
    EXPECT_EQ(b.idle.late_peers, 20);                  // 110..130: rank 1 begins the gather at 130
    EXPECT_EQ(b.idle.collectives, 20 + 40 + 14);       // the gather's rest, the reduction, the norm at the end
    EXPECT_EQ(b.idle.host, 10 + 5 + (5 + 5) + (1 + 5));
    EXPECT_EQ(b.idle.other_streams, 0);
    EXPECT_EQ(b.idle.exposed_communication(), 94);
}

TEST(Breakdown, TheLatePeerItselfDoesNotWaitForPeers) {
    const auto example = hand_made::example();
    const auto steps = steps_of(example.schedule, hand_made::measured(example.ops), 1);
    const Breakdown b = breakdown(steps[0]);
    EXPECT_EQ(b.idle.late_peers, 0);
    EXPECT_EQ(b.idle.collectives, 20 + 40 + 14);       // 130..150
    EXPECT_EQ(b.idle.host, 31 + 20);                   // 110..130: it had not begun the gather
}

TEST(Breakdown, ACollectiveNobodyWaitsForIsNotExposed) {
    const auto example = hand_made::example();
    auto trace = hand_made::measured(example.ops);
    // A's issue is late while the reduction has long ended; the norm's begin moves before it, running beside the gap.
    for (auto& rank : trace.ranks)
        for (auto& row : rank.times)
            if (row.op == example.ops.norm.value && row.step == 2) row.begin -= 456 - 401;   // 401..470: covers the gap 400..405
    const Breakdown b = breakdown(steps_of(example.schedule, trace, 0)[0]);
    EXPECT_EQ(b.idle.collectives, 20 + 40 + 15);       // in the gap before A only the reduction counts; at the end 455..470
    EXPECT_EQ(b.idle.host, 10 + 5 + 10 + 5);
}

TEST(Breakdown, CopiesAreNamedByTheMemoriesTheyTouch) {
    using namespace schedule;
    Schedule schedule;
    ProgramBuilder build(schedule);
    const StreamId compute = build.stream("compute", StreamKind::compute);
    const PoolId pool = build.pool("device", compute);
    const auto in = [&](Space space, DType type) {
        const StorageId storage = build.storage("x", 4, pool, Role::input);
        build.at(storage).space = space;
        return build.tensor("x", storage, type, 1, 1);
    };
    const TensorId fp32 = in(Space::device, DType::fp32), bf16 = in(Space::device, DType::bf16), host = in(Space::host, DType::fp32), pinned = in(Space::pinned, DType::fp32),
                   drive = in(Space::nvme, DType::fp32);
    build.begin_first();
    build.begin_steady();
    const std::vector<std::pair<OpId, std::size_t>> copies{{build.copy(compute, fp32, fp32), kCopyClass},     {build.copy(compute, fp32, bf16), kCastClass},
                                                           {build.copy(compute, fp32, pinned), kTransferClass}, {build.copy(compute, host, pinned), kTransferClass},
                                                           {build.copy(compute, pinned, drive), kDriveClass},  {build.copy(compute, drive, fp32), kDriveClass}};
    const Program& program = schedule.programs[build.finish()];
    for (const auto& [op, kind] : copies) EXPECT_EQ(work_class(program, program.op(op)), kind) << op.value;
}

TEST(Breakdown, WaitsThroughTheHostAndThroughCopiesOnOtherStreams) {
    using namespace schedule;
    Schedule schedule;
    schedule.axes.push_back({schedule.names.intern("world"), 1, 1});
    ProgramBuilder build(schedule);
    const StreamId compute = build.stream("compute", StreamKind::compute), copies = build.stream("copy", StreamKind::copy);
    const PoolId pool = build.pool("device", compute);
    const TensorId x = build.tensor("x", build.storage("x", 4, pool, Role::input), DType::fp32, 1, 1);
    build.tags.phase = Phase::forward;
    build.begin_first();
    build.begin_steady();
    const OpId copy = build.copy(copies, x, x);
    build.host_wait(compute, std::array{copy});
    build.compute(compute, "F", kernel::Kernel::linear_forward, {}, {});
    schedule.roles.push_back({build.finish(), 0, 1});
    trace::Trace trace;
    trace.ranks.push_back({0, 0, {{1, 0, 0, 10, 60, -1}, {1, 1, 5, 5, 60, -1}, {1, 2, 62, 65, 100, -1}}});
    const Breakdown b = breakdown(steps_of(schedule, trace, 0).at(0));   // no step but the first: it is taken
    EXPECT_EQ(b.idle.other_streams, 50);
    EXPECT_EQ(b.idle.host, 10 + 5);
    EXPECT_EQ(b.compute(), 35);
    EXPECT_EQ(b.step, 100);
}

}  // namespace
}  // namespace zerosim::analysis
