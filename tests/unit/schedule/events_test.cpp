// CUDA's event ordering in the builder: wait_stream, wait_event, record_stream; multi-tensor ops; host memory in the validator.
#include "schedule/builder.hpp"
#include "schedule/validate.hpp"

#include <gtest/gtest.h>

namespace zerosim::schedule {
namespace {

struct Two {
    Schedule schedule;
    ProgramBuilder build{schedule};
    StreamId compute = build.stream("compute", StreamKind::compute), copy = build.stream("copy", StreamKind::copy);
    PoolId pool = build.pool("compute", compute);

    TensorId allocated(Space space = Space::device) {
        const StorageId storage = build.storage("s", 64, pool, Role::workspace);
        build.at(storage).space = space;
        build.alloc(storage);
        return build.tensor("t", storage, DType::fp32, 1, 16);
    }
    std::vector<Violation> validated() {
        build.finish();
        schedule.programs[0].first_begin = schedule.programs[0].steady_begin = schedule.programs[0].ops.size();
        return validate_program(schedule, schedule.programs[0], 0);
    }
};

TEST(Events, WaitStreamOrdersTheNextOpAfterAllIssued) {
    for (const bool waits : {false, true}) {
        Two two;
        const TensorId t = two.allocated();
        two.build.fill(two.compute, t, 1);
        if (waits) two.build.wait_stream(two.copy, two.compute);
        two.build.fill(two.copy, t, 2);
        EXPECT_EQ(two.validated().empty(), waits);
    }
}

TEST(Events, AnEventIsWhatWasIssuedUntilThen) {
    Two two;
    const TensorId t = two.allocated();
    const OpId event = two.build.last(two.compute);
    two.build.fill(two.compute, t, 1);
    two.build.wait_event(two.copy, event);   // too early
    two.build.fill(two.copy, t, 2);
    EXPECT_FALSE(two.validated().empty());
}

TEST(Events, HostWaitsDoNotTakeThem) {
    Two two;
    const TensorId t = two.allocated();
    const OpId filled = two.build.fill(two.compute, t, 1);
    two.build.wait_stream(two.copy, two.compute);
    two.build.host_wait(two.copy, {});
    const OpId copied = two.build.fill(two.copy, t, 2);
    two.build.finish();
    const auto deps = two.schedule.programs[0].deps_of(two.schedule.programs[0].op(copied));
    ASSERT_EQ(deps.size(), 1);
    EXPECT_EQ(deps[0], filled);
}

TEST(Events, RecordedFreesNameTheUses) {
    Two two;
    const TensorId t = two.allocated();
    two.build.wait_stream(two.copy, two.compute);
    const OpId use = two.build.fill(two.copy, t, 2);
    const OpId freed = two.build.free_recorded(two.build.at(t).storage, {&use, 1});
    EXPECT_TRUE(two.validated().empty());
    EXPECT_TRUE(two.schedule.programs[0].op(freed).recorded);
}

TEST(HostMemory, IsFreshForEveryStreamWhenItIsAllocated) {
    for (const Space space : {Space::device, Space::pinned}) {
        Two two;
        const TensorId t = two.allocated(space);
        two.build.fill(two.copy, t, 1);   // no wait for the pool's stream
        EXPECT_EQ(two.validated().empty(), space == Space::pinned);
    }
}

TEST(MultiTensor, GroupsNeedEqualSizesAndRanges) {
    for (const int flaw : {0, 1, 2, 3}) {
        Two two;
        FlatLayout layout;
        layout.total = layout.shard = layout.padded = 16;
        layout.segments.push_back({0, 0, 16, true, 0});
        const LayoutId id = two.build.layout(layout);
        std::vector<TensorId> operands;
        for (int k = 0; k < 4; ++k) operands.push_back(two.allocated());
        two.build.fill_all(two.compute, operands, 0);
        operands.push_back({});
        if (flaw == 1) operands.pop_back();
        if (flaw == 2) operands[1] = two.build.tensor("half", two.build.at(operands[1]).storage, DType::fp32, 1, 8);
        std::vector<ShardRange> ranges{{id, {}, 16}};
        if (flaw == 3) ranges.clear();
        two.build.multi_tensor(two.compute, OpKind::optimizer, "adamw", kernel::Kernel::adamw_tensors, operands, {}, ranges);
        EXPECT_EQ(two.validated().empty(), flaw == 0) << flaw;
    }
}

TEST(Transposed, ElementsAreTheParametersOwn) {
    const FlatLayout::Segment segment{0, 0, 6, false, 2};   // here [2, 3], the parameter [3, 2]
    const std::int64_t expected[] = {0, 2, 4, 1, 3, 5};
    for (std::int64_t i = 0; i < 6; ++i) EXPECT_EQ(segment.element(i), expected[i]);
}

}  // namespace
}  // namespace zerosim::schedule
