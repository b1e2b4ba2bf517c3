#include "base/error.hpp"
#include "schedule/memory.hpp"
#include "schedule/validate.hpp"
#include "schedule/dump.hpp"
#include "support/scenarios.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace zerosim {
namespace {

using schedule::Role;
using strategy::Precision;

struct Case {
    bool gpt2, tied;
    int stage;
    std::int64_t ranks, accumulation;
    Precision precision;
    int recompute, prefetch;
    bool overlap, reuse;
};

std::vector<Case> cases() {
    std::vector<Case> all;
    for (int stage = 0; stage < 4; ++stage)
        for (const std::int64_t ranks : {1, 2, 3, 5, 8, 64}) {
            all.push_back({true, true, stage, ranks, 1, Precision::fp32, 0, 1, true, false});
            all.push_back({true, true, stage, ranks, 3, Precision::bf16_mixed, 1, 2, true, true});
            all.push_back({true, false, stage, ranks, 2, Precision::fp16_mixed, 2, 0, false, false});
            all.push_back({false, false, stage, ranks, 1, Precision::bf16_mixed, 0, 9, true, true});
            all.push_back({false, true, stage, ranks, 2, Precision::bf16, 1, 1, true, false});
        }
    return all;
}

strategy::Scenario scenario_of(const Case& c) {
    auto s = test::scenario(c.gpt2 ? test::tiny_gpt2(c.tied) : test::tiny_llama(c.tied), c.stage, c.ranks);
    if (c.ranks == 5) {   // one head: matrices that are as narrow as vectors
        s.model.heads = s.model.kv_heads = 1;
        s.model.head_dim = s.model.family == model::Family::gpt2 ? s.model.hidden : 6;
    }
    s.training.gradient_accumulation = c.accumulation;
    s.training.precision = c.precision;
    s.training.recompute.every = c.recompute;
    s.strategy.prefetch_depth = c.prefetch;
    s.strategy.overlap_communication = c.overlap;
    s.strategy.reuse_gathered = c.reuse;
    s.strategy.bucket_cap_mib = 0.004;
    return s;
}

std::string label(const Case& c) {
    return fmt::format("{}{} stage {} ranks {} G {} precision {} recompute {} prefetch {} overlap {} reuse {}", c.gpt2 ? "gpt2" : "llama", c.tied ? " tied" : "", c.stage,
                       c.ranks, c.accumulation, static_cast<int>(c.precision), c.recompute, c.prefetch, c.overlap, c.reuse);
}

TEST(ZerosimPlanner, EveryScheduleIsValid) {
    for (const Case& c : cases()) {
        const auto s = strategy::plan(scenario_of(c));
        const auto violations = schedule::validate(s);
        for (const auto& v : violations)
            ADD_FAILURE() << label(c) << ": rank " << v.rank << " op " << v.op.value << " " << (v.op.valid() ? schedule::describe(s, s.programs[0], v.op) : "") << " " << v.what;
        if (!violations.empty()) return;
    }
}

// Rajbhandari et al. 2020, section 7: 2 mu Psi, 2 mu Psi, (G + 1) mu Psi, 3 G mu Psi elements, here with each unit's padding.
TEST(ZerosimPlanner, SentBytesEqualTheClosedFormulas) {
    for (const Case& c : cases()) {
        if (c.reuse) continue;
        const auto scenario = scenario_of(c);
        const auto s = strategy::plan(scenario);
        std::int64_t padded = 0;
        for (const auto& layout : s.layouts) padded += layout.padded;
        const auto& program = s.programs[0];
        double sent = 0;
        for (std::size_t i = program.steady_begin; i < program.ops.size(); ++i) {
            if (program.ops[i].kind != schedule::OpKind::collective) continue;
            const auto& collective = program.collective_of(program.ops[i]);
            if (!collective.scalar) sent += static_cast<double>(message_bytes(program, collective)) * ring_factor(collective.kind, c.ranks);
        }
        const double mu = static_cast<double>(c.ranks - 1) / static_cast<double>(c.ranks);
        const double g = static_cast<double>(c.accumulation);
        const double factor[] = {2.0, 2.0, g + 1, 3 * g};
        const auto width = static_cast<double>(size_of(strategy::compute_dtype(c.precision)));
        EXPECT_DOUBLE_EQ(sent, factor[c.stage] * mu * static_cast<double>(padded) * width) << label(c);
    }
}

// Section 5: model states between steps, summed over the ranks, are N times the formula's share, padding apart.
TEST(ZerosimPlanner, ModelStatesEqualTheClosedFormulas) {
    for (const Case& c : cases()) {
        const auto scenario = scenario_of(c);
        const auto s = strategy::plan(scenario);
        const double psi = static_cast<double>(model::parameter_count(scenario.model)), n = static_cast<double>(c.ranks);
        const double p = static_cast<double>(size_of(strategy::compute_dtype(c.precision)));
        const double o = c.precision == Precision::fp32 ? 8 : c.precision == Precision::bf16 ? 4 : 12;
        const double share[] = {2 * p + o, 2 * p + o / n, p + (p + o) / n, (2 * p + o) / n};
        std::int64_t total = 0;
        for (std::int64_t rank = 0; rank < c.ranks; ++rank) {
            const auto profile = schedule::memory_profile(s, rank);
            for (const Role role : {Role::parameter, Role::parameter_shard, Role::gradient, Role::gradient_shard, Role::master_weight, Role::first_moment, Role::second_moment})
                total += profile.after_step_by_role[static_cast<std::size_t>(role)];
            EXPECT_EQ(profile.after_init, profile.after_step) << label(c);
        }
        EXPECT_DOUBLE_EQ(static_cast<double>(total), n * psi * share[c.stage]) << label(c);
    }
}

TEST(ZerosimPlanner, ArenaHoldsEveryStorageWithoutOverlap) {
    for (const Case& c : cases()) {
        if (c.ranks > 3) continue;
        const auto s = strategy::plan(scenario_of(c));
        const auto& program = s.programs[0];
        const auto plan = schedule::plan_arena(program);
        std::vector<std::size_t> live;
        for (const auto& op : program.ops) {
            if (op.kind == schedule::OpKind::free) std::erase(live, op.storage.index());
            if (op.kind != schedule::OpKind::alloc) continue;
            const auto& mine = program.storage(op.storage);
            EXPECT_LE(plan.offsets[op.storage.index()] + mine.bytes, plan.pool_bytes[mine.pool.index()]);
            for (const std::size_t other : live) {
                const auto& theirs = program.storages[other];
                if (theirs.pool != mine.pool || theirs.bytes == 0 || mine.bytes == 0) continue;
                EXPECT_TRUE(plan.offsets[other] + theirs.bytes <= plan.offsets[op.storage.index()] || plan.offsets[op.storage.index()] + mine.bytes <= plan.offsets[other]) << label(c);
            }
            live.push_back(op.storage.index());
        }
        EXPECT_GE(plan.total_bytes(), plan.lower_bound());
    }
}

TEST(ZerosimPlanner, TheSameScenarioGivesTheSameSchedule) {
    const auto scenario = test::scenario(test::tiny_llama(), 3, 4);
    EXPECT_EQ(schedule::dump_text(strategy::plan(scenario), 0), schedule::dump_text(strategy::plan(scenario), 0));
}

TEST(ZerosimPlanner, RefusesWhatItCannotDo) {
    auto s = test::scenario(test::tiny_gpt2(), 3, 4);
    s.training.sequence_length = 17;
    EXPECT_THROW((void)strategy::plan(s), ConfigError);
    s = test::scenario(test::tiny_gpt2(), 4, 4);
    EXPECT_THROW((void)strategy::plan(s), ConfigError);
}

}  // namespace
}  // namespace zerosim
