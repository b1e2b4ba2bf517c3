// FSDP1's flat parameters: what they hold, what is sent, and what its arguments change.
#include "schedule/memory.hpp"
#include "schedule/validate.hpp"
#include "support/scenarios.hpp"
#include "unit/strategy/steady_bytes.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <numeric>

namespace zerosim::strategy {
namespace {

using schedule::OpKind;

Scenario fsdp(int stage, std::int64_t ranks) {
    Scenario s = test::scenario(test::tiny_gpt2(true), stage, ranks);
    s.strategy.system = System::fsdp;
    s.training.precision = Precision::bf16_mixed;
    return s;
}

/// Padded elements of every unit, the root's last.
std::vector<std::int64_t> padded_units(const schedule::Schedule& schedule) {
    std::vector<std::int64_t> units;
    for (const schedule::FlatLayout& layout : schedule.layouts)
        if (schedule.names[layout.name] == "flat_parameter") units.push_back(layout.padded);
    return units;
}

std::int64_t host_waits(const schedule::Schedule& schedule) {
    const schedule::Program& program = schedule.program_of(0);
    return std::count_if(program.ops.begin() + static_cast<std::ptrdiff_t>(program.steady_begin), program.ops.end(),
                         [](const schedule::Op& op) { return op.kind == OpKind::host_wait; });
}

// zero-redundancy data parallelism sends 3 times the parameters: here 2 G gathers of blocks in 2 bytes, G of the root, G reductions in 4.
TEST(FsdpFlatParameter, SendsWhatTheFormulaSays) {
    for (const std::int64_t ranks : {2, 3, 8, 64})
        for (const std::int64_t accumulation : {1, 3})
            for (const int stage : {2, 3}) {
                Scenario s = fsdp(stage, ranks);
                s.training.gradient_accumulation = accumulation;
                const auto schedule = plan(s);
                const auto units = padded_units(schedule);
                ASSERT_EQ(units.size(), static_cast<std::size_t>(s.model.layers) + 1);
                const std::int64_t all = std::accumulate(units.begin(), units.end(), std::int64_t{0}), blocks = all - units.back();
                EXPECT_EQ(steady_message_bytes(schedule, CollectiveKind::all_gather), 2 * accumulation * (all + (stage == 3 ? blocks : 0))) << ranks << " " << stage;
                EXPECT_EQ(steady_message_bytes(schedule, CollectiveKind::reduce_scatter), 4 * accumulation * all) << ranks << " " << stage;
                s.strategy.sync_each_batch = false;
                EXPECT_EQ(steady_message_bytes(plan(s), CollectiveKind::reduce_scatter), 4 * all) << "no_sync";
            }
}

TEST(FsdpFlatParameter, OneRankSendsNothingThroughAGather) {
    for (const int stage : {2, 3}) {
        const auto schedule = plan(fsdp(stage, 1));
        EXPECT_EQ(steady_message_bytes(schedule, CollectiveKind::all_gather) + steady_message_bytes(schedule, CollectiveKind::reduce_scatter), 0);
        EXPECT_TRUE(schedule::validate(schedule).empty());
    }
}

TEST(FsdpFlatParameter, ShardsArePaddedAndWhatRemainsAfterInit) {
    for (const std::int64_t ranks : {1, 2, 3, 8, 64}) {
        const auto schedule = plan(fsdp(3, ranks));
        const auto units = padded_units(schedule);
        const std::int64_t all = std::accumulate(units.begin(), units.end(), std::int64_t{0});
        EXPECT_GE(all, model::parameter_count(test::tiny_gpt2(true)));
        const auto profile = schedule::memory_profile(schedule, 0);
        EXPECT_EQ(profile.after_init, 4 * all / ranks) << ranks << " ranks";
        for (const std::int64_t unit : units) EXPECT_EQ(unit % ranks, 0);
    }
}

TEST(FsdpFlatParameter, AlignsParametersTo16Bytes) {
    const auto offsets_of = [](bool original) {
        Scenario s = fsdp(3, 3);
        s.strategy.fsdp.original_parameters = original;
        std::vector<std::int64_t> offsets;
        for (const schedule::FlatLayout& layout : plan(s).layouts)
            if (layout.segments.size() > 1)
                for (const auto& segment : layout.segments) offsets.push_back(segment.offset);
        return offsets;
    };
    for (const std::int64_t offset : offsets_of(true)) EXPECT_EQ(offset % 8, 0);
    const auto dense = offsets_of(false);
    EXPECT_TRUE(std::ranges::any_of(dense, [](std::int64_t offset) { return offset % 8 != 0; })) << "use_orig_params false lays them end to end";
}

TEST(FsdpFlatParameter, TheHostWaitsForAllButTwoUnits) {
    Scenario s = fsdp(3, 4);
    s.model.layers = 6;
    const std::int64_t limited = host_waits(plan(s));
    s.strategy.fsdp.limit_all_gathers = false;
    const std::int64_t unlimited = host_waits(plan(s));
    EXPECT_EQ(unlimited, 1) << "the end of the step alone";
    // 6 blocks freed in forward, the third and later gathers wait: 4; in backward each of the root's and the blocks' unshards takes an event.
    EXPECT_GT(limited, unlimited + 6);
}

TEST(FsdpFlatParameter, EveryArgumentKeepsTheScheduleValid) {
    const std::vector<std::function<void(Scenario&)>> changes{
        [](Scenario& s) { s.strategy.fsdp.forward_prefetch = true; }, [](Scenario& s) { s.strategy.fsdp.limit_all_gathers = false; },
        [](Scenario& s) { s.strategy.fsdp.backward_prefetch = FsdpOptions::BackwardPrefetch::post; },
        [](Scenario& s) { s.strategy.fsdp.backward_prefetch = FsdpOptions::BackwardPrefetch::none; },
        [](Scenario& s) { s.strategy.fsdp.original_parameters = false; }, [](Scenario& s) { s.strategy.sync_each_batch = false; },
        [](Scenario& s) { s.strategy.shard_group = 2; }, [](Scenario& s) { s.strategy.parameters_at = s.strategy.optimizer_at = Placement::cpu; },
        [](Scenario& s) { s.training.clip_gradients = 1; }, [](Scenario& s) { s.training.reduce_precision = DType::bf16; }};
    for (std::size_t i = 0; i < changes.size(); ++i)
        for (const int stage : {2, 3}) {
            Scenario s = fsdp(stage, 4);
            s.training.gradient_accumulation = 2;
            changes[i](s);
            const auto violations = schedule::validate(plan(s));
            EXPECT_TRUE(violations.empty()) << "change " << i << " stage " << stage << ": " << (violations.empty() ? "" : violations.front().what);
        }
}

// HYBRID_SHARD: shards of a group of 2, summed across 2 replicas.
TEST(FsdpFlatParameter, ReplicasReduceShards) {
    Scenario s = fsdp(3, 4);
    s.strategy.shard_group = 2;
    const auto schedule = plan(s);
    const auto units = padded_units(schedule);
    EXPECT_EQ(steady_message_bytes(schedule, CollectiveKind::all_reduce), 4 * std::accumulate(units.begin(), units.end(), std::int64_t{0}) / 2);
}

// Without synchronisation the unsharded gradients of all units stay, in the dtype in which autograd made them.
TEST(FsdpFlatParameter, NoSyncKeepsWholeGradients) {
    Scenario s = fsdp(3, 8);
    s.training.gradient_accumulation = 2;
    s.training.micro_batch = 1;
    const auto profile_of = [&](bool sync) {
        s.strategy.sync_each_batch = sync;
        return schedule::memory_profile(plan(s), 0);
    };
    std::int64_t elements = 0;
    for (const std::int64_t unit : padded_units(plan(s))) elements += unit;
    EXPECT_GT(profile_of(false).peak, profile_of(true).peak + elements);   // 2 bytes each, less what the other mode holds at its peak
}

}  // namespace
}  // namespace zerosim::strategy
