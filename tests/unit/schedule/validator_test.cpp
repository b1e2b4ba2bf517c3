// Every rule of the validator, broken on purpose: one small schedule a rule, which is valid but for that.
#include "hand_made.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace zerosim::schedule::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// The violations of one rank's program, as text.
template <class Build>
std::string broken(Build build, std::int64_t axis_size = 1) {
    Schedule schedule;
    const AxisId axis = add_axis(schedule, axis_size, 1);
    HandMade program(schedule);
    build(program, axis);
    program.finish();
    schedule.ranks = axis_size;
    schedule.roles.push_back({0, 0, axis_size});
    return all_text(validate(schedule));
}

TEST(Validator, AcceptsAValidProgram) {
    EXPECT_THAT(broken([](HandMade& p, AxisId axis) {
                    const StorageId a = p.storage("a", 8), b = p.storage("b", 8);
                    p.builder.alloc(a);
                    p.builder.alloc(b);
                    const OpId write = p.fill(p.compute, p.slice(a, 0, 8));
                    const OpId sum = p.all_reduce(p.reduce, axis, p.slice(a, 0, 8), {write});
                    const OpId read = p.copy(p.compute, p.slice(a, 0, 8), p.slice(b, 0, 8), {sum});
                    p.builder.free(a, std::vector{read});
                    p.builder.free(b);
                }, 2),
                IsEmpty());
}

TEST(Validator, UseBeforeAllocation) {
    EXPECT_THAT(broken([](HandMade& p, AxisId) { p.fill(p.compute, p.slice(p.storage("a", 8), 0, 8)); }), HasSubstr("not allocated here"));
}

TEST(Validator, UseAfterFree) {
    EXPECT_THAT(broken([](HandMade& p, AxisId) {
                    const StorageId a = p.storage("a", 8);
                    p.builder.alloc(a);
                    p.builder.free(a);
                    p.fill(p.compute, p.slice(a, 0, 8));
                }),
                HasSubstr("op 2: uses"));
}

TEST(Validator, AllocatedTwice) {
    EXPECT_THAT(broken([](HandMade& p, AxisId) {
                    const StorageId a = p.storage("a", 8);
                    p.builder.alloc(a);
                    p.builder.alloc(a);
                }),
                HasSubstr("allocates storage a again"));
}

TEST(Validator, FreedTwice) {
    EXPECT_THAT(broken([](HandMade& p, AxisId) {
                    const StorageId a = p.storage("a", 8);
                    p.builder.alloc(a);
                    p.builder.free(a);
                    p.builder.free(a);
                }),
                HasSubstr("frees storage a, which is not allocated"));
}

TEST(Validator, ReadOfWhatNothingHasWritten) {
    EXPECT_THAT(broken([](HandMade& p, AxisId) {
                    const StorageId a = p.storage("a", 8), b = p.storage("b", 8);
                    p.builder.alloc(a);
                    p.builder.alloc(b);
                    p.copy(p.compute, p.slice(a, 0, 8), p.slice(b, 0, 8));
                }),
                HasSubstr("which nothing has written"));
}

TEST(Validator, ViewOutsideItsStorage) {
    EXPECT_THAT(broken([](HandMade& p, AxisId) {
                    const StorageId a = p.storage("a", 8);
                    p.builder.alloc(a);
                    p.fill(p.compute, p.slice(a, 4, 8));
                }),
                HasSubstr("lies at bytes [4, 12) of a storage of 8"));
}

// A shard's view of the last rank may leave the storage where rank 0's does not.
TEST(Validator, ViewOutsideItsStorageOnTheLastRankOnly) {
    Schedule schedule;
    const AxisId axis = add_axis(schedule, 3, 1);
    HandMade p(schedule);
    const StorageId a = p.storage("a", 8);
    p.builder.alloc(a);
    p.fill(p.compute, p.builder.tensor("shard", a, DType::uint8, 1, 4, {0, 4, axis}));
    p.finish();
    schedule.ranks = 3;
    schedule.roles.push_back({0, 0, 3});
    EXPECT_THAT(all_text(validate(schedule)), HasSubstr("rank 2"));
}

TEST(Validator, UnalignedView) {
    EXPECT_THAT(broken([](HandMade& p, AxisId) {
                    const StorageId a = p.storage("a", 12);
                    p.builder.alloc(a);
                    p.fill(p.compute, p.slice(a, 2, 8, DType::fp32));
                }),
                HasSubstr("not a multiple of its element size"));
}

TEST(Validator, DependenceOnALaterOp) {
    EXPECT_THAT(broken([](HandMade& p, AxisId) {
                    const StorageId a = p.storage("a", 8);
                    p.builder.alloc(a);
                    p.fill(p.compute, p.slice(a, 0, 8), {OpId{1}});
                }),
                HasSubstr("depends on op 1, which comes later"));
}

TEST(Validator, CopyBetweenDifferentSizes) {
    EXPECT_THAT(broken([](HandMade& p, AxisId) {
                    const StorageId a = p.storage("a", 8);
                    p.builder.alloc(a);
                    p.fill(p.compute, p.slice(a, 0, 8));
                    p.copy(p.compute, p.slice(a, 0, 4), p.slice(a, 4, 2));
                }),
                HasSubstr("sizes differ"));
}

TEST(Validator, KernelWithAMissingOperandAndWithAWrongShape) {
    const auto add = [](HandMade& p, std::int64_t columns, bool all) {
        const StorageId a = p.storage("a", 96);
        p.builder.alloc(a);
        p.fill(p.compute, p.slice(a, 0, 96));
        kernel::Attributes attributes;
        attributes.tokens = 2;
        attributes.out = 4;
        std::vector<TensorId> operands;
        for (int i = 0; i < (all ? 3 : 2); ++i) operands.push_back(p.builder.tensor("x", a, DType::fp32, 2, i == 1 ? columns : 4, {i * 32, 0, {}}));
        p.builder.compute(p.compute, "add", kernel::Kernel::add, operands, attributes);
    };
    EXPECT_THAT(broken([&](HandMade& p, AxisId) { add(p, 4, true); }), IsEmpty());
    EXPECT_THAT(broken([&](HandMade& p, AxisId) { add(p, 4, false); }), HasSubstr("takes 3 operands, not 2"));
    EXPECT_THAT(broken([&](HandMade& p, AxisId) { add(p, 3, true); }), HasSubstr("but should be [2,4]"));
}

// The unordered use is named with the one before it, on whichever side the missing dep is.
TEST(Validator, WriteAndReadOnTwoStreamsWithoutADep) {
    EXPECT_THAT(broken([](HandMade& p, AxisId axis) {
                    const StorageId a = p.storage("a", 8);
                    const OpId alloc = p.builder.alloc(a);
                    p.fill(p.compute, p.slice(a, 0, 8));
                    p.all_reduce(p.reduce, axis, p.slice(a, 0, 8), {alloc});
                }, 2),
                HasSubstr("op 2: is not ordered after op 1"));
}

TEST(Validator, ReuseOfMemoryThatAnotherStreamStillReads) {
    EXPECT_THAT(broken([](HandMade& p, AxisId axis) {
                    const StorageId a = p.storage("a", 8);
                    p.builder.alloc(a);
                    const OpId write = p.fill(p.compute, p.slice(a, 0, 8));
                    p.all_reduce(p.reduce, axis, p.slice(a, 0, 8), {write});
                    p.builder.free(a);
                }, 2),
                HasSubstr("op 3: is not ordered after op 2"));
}

// Disjoint bytes of one storage need no order.
TEST(Validator, TwoStreamsOnDifferentBytesAreFree) {
    EXPECT_THAT(broken([](HandMade& p, AxisId axis) {
                    const StorageId a = p.storage("a", 8);
                    const OpId alloc = p.builder.alloc(a);
                    const OpId write = p.fill(p.gather, p.slice(a, 0, 8), {alloc});
                    const OpId sum = p.all_reduce(p.reduce, axis, p.slice(a, 0, 4), {write});
                    const OpId other = p.fill(p.compute, p.slice(a, 4, 4), {write});
                    p.builder.free(a, std::vector{sum, other});
                }, 2),
                IsEmpty());
}

// host_wait holds the host until what it names is done, and nothing else.
TEST(Validator, HostWaitOrdersWhatItWaitsForAndNotItsStream) {
    const auto wait_for = [](bool the_sum) {
        return broken([&](HandMade& p, AxisId axis) {
            const StorageId a = p.storage("a", 8), b = p.storage("b", 8);
            const OpId alloc = p.builder.alloc(a);
            const OpId alloc_b = p.builder.alloc(b);
            const OpId write = p.fill(p.reduce, p.slice(a, 0, 8), {alloc});
            const OpId sum = p.all_reduce(p.reduce, axis, p.slice(a, 0, 8));
            const OpId other = p.fill(p.gather, p.slice(b, 0, 8), {alloc_b, write});
            p.builder.host_wait(p.reduce, std::vector{the_sum ? sum : other});
            p.builder.free(a);
            p.builder.free(b, std::vector{other});
        }, 2);
    };
    EXPECT_THAT(wait_for(true), IsEmpty());
    EXPECT_THAT(wait_for(false), HasSubstr("op 6: is not ordered after op 3"));
}

TEST(Validator, StepThatLeavesAStorageBehind) {
    Schedule schedule;
    HandMade p(schedule);
    const StorageId a = p.storage("a", 8);
    p.builder.begin_first();
    p.builder.begin_steady();
    p.builder.alloc(a);
    p.builder.finish();
    schedule.roles.push_back({0, 0, 1});
    EXPECT_THAT(all_text(validate(schedule)), HasSubstr("alive after a steady step differ"));
}

// What one step leaves running may meet the next step's first ops.
TEST(Validator, RaceAcrossTheBorderOfSteps) {
    Schedule schedule;
    const AxisId axis = add_axis(schedule, 2, 1);
    HandMade p(schedule);
    const StorageId a = p.storage("a", 8);
    const TensorId whole = p.slice(a, 0, 8);
    p.builder.alloc(a);
    p.builder.begin_first();
    p.builder.begin_steady();
    const OpId write = p.fill(p.compute, whole);
    p.all_reduce(p.reduce, axis, whole, {write});
    p.builder.finish();
    schedule.ranks = 2;
    schedule.roles.push_back({0, 0, 2});
    EXPECT_THAT(all_text(validate(schedule)), HasSubstr("op 1: is not ordered after op 2"));
}

TEST(Validator, CollectivesWhoseBuffersDoNotFit) {
    const auto collective = [](CollectiveKind kind, Reduction reduction, std::int64_t send, std::int64_t receive, DType dtype = DType::uint8) {
        return broken([&](HandMade& p, AxisId axis) {
            const StorageId a = p.storage("a", 64);
            p.builder.alloc(a);
            const OpId write = p.fill(p.compute, p.slice(a, 0, 64));
            Collective c;
            c.kind = kind;
            c.reduction = reduction;
            c.axis = axis;
            c.send = p.slice(a, 0, send);
            c.receive = p.slice(a, 32, receive, dtype);
            p.builder.collective(p.reduce, "collective", c, std::vector{write});
        }, 4);
    };
    EXPECT_THAT(collective(CollectiveKind::all_gather, Reduction::none, 4, 16), IsEmpty());
    EXPECT_THAT(collective(CollectiveKind::all_gather, Reduction::none, 4, 12), HasSubstr("sizes do not fit"));
    EXPECT_THAT(collective(CollectiveKind::reduce_scatter, Reduction::sum, 16, 8), HasSubstr("sizes do not fit"));
    EXPECT_THAT(collective(CollectiveKind::all_reduce, Reduction::none, 8, 8), HasSubstr("wrong reduction"));
    EXPECT_THAT(collective(CollectiveKind::all_gather, Reduction::sum, 4, 16), HasSubstr("wrong reduction"));
    EXPECT_THAT(collective(CollectiveKind::all_gather, Reduction::none, 4, 16, DType::fp32), HasSubstr("differ in dtype"));
    EXPECT_THAT(collective(CollectiveKind::reduce, Reduction::sum, 8, 8), HasSubstr("reduce is a benchmark's"));
    EXPECT_THAT(collective(CollectiveKind::send_recv, Reduction::none, 8, 8), HasSubstr("send-recv is a benchmark's"));
}

TEST(Validator, CollectiveOnAnUndeclaredAxis) {
    EXPECT_THAT(broken([](HandMade& p, AxisId) {
                    const StorageId a = p.storage("a", 8);
                    const OpId alloc = p.builder.alloc(a);
                    p.all_reduce(p.reduce, AxisId{7}, p.slice(a, 0, 8), {alloc});
                }),
                HasSubstr("undeclared axis"));
}

/// Two ranks with a program each, made by build(program, rank, axes); both axes join the same two ranks.
template <class Build>
std::string two_ranks(Build build) {
    Schedule schedule;
    const AxisId first = add_axis(schedule, 2, 1), second = add_axis(schedule, 2, 1);
    for (int rank = 0; rank < 2; ++rank) {
        HandMade p(schedule);
        const StorageId a = p.storage("a", 16);
        p.builder.alloc(a);
        build(p, rank, first, second, p.fill(p.compute, p.slice(a, 0, 16)), a);
        p.finish();
    }
    one_rank_each(schedule);
    return all_text(validate(schedule));
}

TEST(Matching, EqualCollectivesOfTwoRolesAreAccepted) {
    EXPECT_THAT(two_ranks([](HandMade& p, int, AxisId first, AxisId second, OpId written, StorageId a) {
                    p.all_reduce(p.gather, first, p.slice(a, 0, 8), {written});
                    p.all_reduce(p.reduce, second, p.slice(a, 8, 8), {written});
                }),
                IsEmpty());
}

TEST(Matching, DifferentSizesAreNamedWithBothRanks) {
    EXPECT_THAT(two_ranks([](HandMade& p, int rank, AxisId first, AxisId, OpId written, StorageId a) {
                    p.all_reduce(p.gather, first, p.slice(a, 0, rank == 0 ? 8 : 4), {written});
                }),
                HasSubstr("is collective 1 of its group as all-reduce uint8 root 0 4 bytes, but rank 0 has all-reduce uint8 root 0 8 bytes"));
}

TEST(Matching, ACollectiveThatOneRankLacks) {
    EXPECT_THAT(two_ranks([](HandMade& p, int rank, AxisId first, AxisId, OpId written, StorageId a) {
                    p.all_reduce(p.gather, first, p.slice(a, 0, 8), {written});
                    if (rank == 0) p.all_reduce(p.gather, first, p.slice(a, 0, 8));
                }),
                HasSubstr("rank 0, op 3: never completes"));
}

// Each group's own sequence matches; only the merged graph has the cycle.
TEST(Matching, TwoGroupsInOppositeOrderDeadlockOnOneStream) {
    const auto opposite = [](bool one_stream) {
        return two_ranks([one_stream](HandMade& p, int rank, AxisId first, AxisId second, OpId written, StorageId a) {
            const AxisId order[] = {rank == 0 ? first : second, rank == 0 ? second : first};
            for (const AxisId axis : order)
                p.all_reduce(one_stream || axis == first ? p.gather : p.reduce, axis, p.slice(a, axis == first ? 0 : 8, 8), {written});
        });
    };
    EXPECT_THAT(opposite(true), HasSubstr("deadlock"));
    EXPECT_THAT(opposite(false), IsEmpty()) << "two streams progress side by side";
}

// On two streams the host still closes the cycle if it waits between.
TEST(Matching, TwoGroupsInOppositeOrderDeadlockOverAHostWait) {
    EXPECT_THAT(two_ranks([](HandMade& p, int rank, AxisId first, AxisId second, OpId written, StorageId a) {
                    const OpId one = p.all_reduce(p.gather, rank == 0 ? first : second, p.slice(a, 0, 8), {written});
                    p.builder.host_wait(p.compute, std::vector{one});
                    p.all_reduce(p.reduce, rank == 0 ? second : first, p.slice(a, 8, 8), {written});
                }),
                HasSubstr("deadlock"));
}

}  // namespace
}  // namespace zerosim::schedule::test
