// The replay gives memory that other streams use back by the clock of a simulation (record_stream).
#include "schedule/builder.hpp"
#include "sim/memory_replay.hpp"

#include <gtest/gtest.h>

namespace zerosim::sim {
namespace {

constexpr std::int64_t kBytes = 30 << 20;

struct Step {
    schedule::Schedule schedule;
    trace::RankTrace times;
    explicit Step(std::int64_t other_stream_ends) {
        schedule::ProgramBuilder build(schedule);
        const StreamId compute = build.stream("compute", schedule::StreamKind::compute), other = build.stream("other", schedule::StreamKind::communication);
        const PoolId pool = build.pool("compute", compute);
        const StorageId first = build.storage("first", kBytes, pool, schedule::Role::staging), second = build.storage("second", kBytes, pool, schedule::Role::staging);
        build.begin_first();
        build.alloc(first);
        const OpId use = build.fill(other, build.tensor("t", first, DType::fp32, 1, 1), 0);
        build.free_recorded(first, {&use, 1});
        build.alloc(second);
        build.free(second);
        build.finish();
        for (int step = 1; step <= 3; ++step)
            for (std::uint32_t op = 0; op < 5; ++op) {
                const std::int64_t issue = step * 1000 + op * 10;
                times.times.push_back({step, op, issue, issue, op == 1 ? issue + other_stream_ends : issue, -1});
            }
    }
};

TEST(RecordedFrees, ComeBackWhenTheOtherStreamIsDone) {
    const Step early(5), late(500);
    EXPECT_EQ(replay_memory(early.schedule.programs[0], {}, &early.times).peak_reserved, kBytes);
    const MemoryReplay replay = replay_memory(late.schedule.programs[0], {}, &late.times);
    EXPECT_EQ(replay.peak_reserved, 2 * kBytes) << "the second is allocated while the first is still used";
    EXPECT_EQ(replay.peak_active, 2 * kBytes);
    EXPECT_EQ(replay.forward_peak + replay.backward_peak + replay.optimizer_peak, 0) << "ops of init";
}

TEST(RecordedFrees, WithoutAClockComeBackAtOnce) {
    const Step late(500);
    EXPECT_EQ(replay_memory(late.schedule.programs[0]).peak_reserved, kBytes);
}

}  // namespace
}  // namespace zerosim::sim
