// Volumes of DeepSpeed's collectives equal the closed formulas, and its host waits where its streams do.
#include "unit/strategy/deepspeed_scenarios.hpp"

namespace zerosim::strategy {
namespace {

TEST(DeepSpeedVolume, Stage0ReducesOnceAStep) {
    for (const std::int64_t accumulation : {1, 3}) {
        Scenario s = small(0, 3);
        s.training.gradient_accumulation = accumulation;
        EXPECT_EQ(steady(s), (Volume{{CollectiveKind::all_reduce, elements_of(s.model)}}));
    }
}

// 3 mu Psi: an all-reduce counts twice. Stage 2 reduces in every micro-batch: (2 G + 1) mu Psi.
TEST(DeepSpeedVolume, Stages1And2AllReduceBucketsAndGatherParameters) {
    for (const int stage : {1, 2})
        for (const std::int64_t ranks : {2, 3, 8})
            for (const std::int64_t accumulation : {1, 3}) {
                Scenario s = small(stage, ranks);
                s.training.gradient_accumulation = accumulation;
                const std::int64_t times = stage == 1 ? 1 : accumulation;
                EXPECT_EQ(steady(s),
                          (Volume{{CollectiveKind::all_reduce, times * elements_of(s.model)}, {CollectiveKind::all_gather, flat_elements(s)}}));
                s.strategy.deepspeed.overlap = true;
                EXPECT_EQ(steady(s).at(CollectiveKind::all_reduce), times * elements_of(s.model)) << "overlap changes when, not what";
            }
}

TEST(DeepSpeedVolume, EachOwnerAloneHalvesTheReduction) {
    Scenario s = small(2, 2);
    s.strategy.deepspeed.multi_rank_allreduce = false;
    const Volume v = steady(s);
    EXPECT_FALSE(v.contains(CollectiveKind::all_reduce));
    EXPECT_GE(v.at(CollectiveKind::reduce_scatter), elements_of(s.model));
    EXPECT_LE(v.at(CollectiveKind::reduce_scatter), elements_of(s.model) + 40) << "at most one element of padding a bucket";
}

// 3 G mu Psi without reuse; the embedding's input needs no gradient, so its table is never released by backward and serves the next forward.
TEST(DeepSpeedVolume, Stage3GathersTwiceAndReduceScattersOnceAMicroBatch) {
    for (const std::int64_t ranks : {2, 3, 8})
        for (const std::int64_t accumulation : {1, 3}) {
            Scenario s = small(3, ranks);
            s.training.gradient_accumulation = accumulation;
            s.strategy.deepspeed.max_reuse_distance = s.strategy.deepspeed.prefetch_bucket = s.strategy.deepspeed.persistence_threshold = 0;
            const std::int64_t padded = sharded_elements(s), table = (23 * 12 + ranks - 1) / ranks * ranks;
            EXPECT_EQ(steady(s), (Volume{{CollectiveKind::all_gather, 2 * accumulation * padded - (accumulation - 1) * table},
                                         {CollectiveKind::reduce_scatter, accumulation * padded}}));
        }
}

TEST(DeepSpeedVolume, WithinTheReuseDistanceParametersAreGatheredOnceAMicroBatch) {
    Scenario s = small(3, 3); // the whole model lies within 1e9 elements
    s.strategy.deepspeed.prefetch_bucket = 0;
    const std::int64_t persisted = sharded_elements(s, 0, s.strategy.deepspeed.persistence_threshold);
    ASSERT_GT(persisted, 0);
    EXPECT_EQ(steady(s).at(CollectiveKind::all_gather), sharded_elements(s)) << "others once, persisted ones after the step";
    s.strategy.deepspeed.max_reuse_distance = 0;
    EXPECT_GT(steady(s).at(CollectiveKind::all_gather), sharded_elements(s));
}

TEST(DeepSpeedVolume, NothingPrefetchesWhileTheTraceIsRecorded) {
    Scenario s = small(3, 2);
    const auto schedule = plan(s);
    const Program& program = schedule.program_of(0);
    const auto gathers = [&](schedule::Segment segment) {
        int count = 0;
        const auto [begin, end] = program.bounds(segment);
        for (std::size_t i = begin; i < end; ++i)
            count += program.ops[i].kind == OpKind::collective && program.ops[i].tags.phase == Phase::forward ? 1 : 0;
        return count;
    };
    EXPECT_EQ(gathers(schedule::Segment::first), 3 * 9 + 3) << "one for each module: 9 in each of 3 blocks, table, last norm, head";
    EXPECT_LT(gathers(schedule::Segment::steady), gathers(schedule::Segment::first)) << "several parameters in one gather, none for persisted ones";
}

TEST(DeepSpeedVolume, TheHostWaitsForTheOldestOfThreeReductions) {
    Scenario s = small(3, 2);
    s.strategy.deepspeed.reduce_bucket = 100;
    const auto schedule = plan(s);
    const Program& program = schedule.program_of(0);
    const auto [begin, end] = program.bounds(schedule::Segment::steady);
    int waits = 0, reductions = 0;
    for (std::size_t i = begin; i < end; ++i) {
        const schedule::Op& op = program.ops[i];
        if (op.tags.phase != Phase::backward) continue;
        waits += op.kind == OpKind::host_wait ? 1 : 0;
        reductions += op.kind == OpKind::collective && program.collective_of(op).kind == CollectiveKind::reduce_scatter ? 1 : 0;
    }
    EXPECT_GE(waits, reductions - 3);
}

} // namespace
} // namespace zerosim::strategy
