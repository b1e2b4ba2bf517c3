// The simulator on the schedules of real systems: clocks of every rank against shared ones, and the systems' limits on running ahead.
#include "sim/simulate.hpp"
#include "strategy/plan.hpp"
#include "support/scenarios.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <tuple>

namespace zerosim {
namespace {

using strategy::System;

/// GPUs that compute fast beside links that are slow: what is gathered early runs far ahead.
cluster::Cluster slow_links() {
    cluster::Cluster cluster;
    cluster.name = "slow links";
    cluster.device.memory_bytes_per_second = 1e12;
    cluster.device.fp32_flops = cluster.device.bf16_flops = cluster.device.fp16_flops = 1e14;
    cluster.device.memory_bytes = std::int64_t{80} << 30;
    cluster.device.kernel_launch_seconds = 2e-6;
    cluster.device.host_issue_seconds = 4e-6;
    cluster.devices_per_node = 4;
    cluster.intra_node = {1e-6, 1e9, 0.9};
    cluster.network = {5e-6, 1e6, 0.9};
    cluster.compute_slowdown = 0.6;
    return cluster;
}

strategy::Scenario scenario(System system, int stage, std::int64_t ranks, std::int64_t shard_group = 0) {
    model::Model model = test::tiny_llama();
    model.layers = 8;
    strategy::Scenario s = test::scenario(model, stage, ranks);
    s.strategy.system = system;
    s.strategy.shard_group = shard_group;
    s.training.precision = strategy::Precision::bf16_mixed;
    s.library = kernel::Library::cuda;
    s.cluster = slow_links();
    return s;
}

const trace::RankTrace& of_rank(const trace::Trace& trace, std::int64_t rank) {
    for (const trace::RankTrace& r : trace.ranks)
        if (r.rank <= rank && rank < r.rank + r.count) return r;
    throw std::logic_error("no such rank");
}

TEST(PlannedSystems, rows_of_bookkeeping_can_be_left_out_and_durations_brought_along) {
    for (const System system : {System::zerosim, System::fsdp2, System::deepspeed, System::ddp}) {
        strategy::Scenario s = scenario(system, system == System::ddp ? 1 : 3, 4, 0);
        s.cluster.variation.every_rank = true;
        const schedule::Schedule schedule = strategy::plan(s);
        const trace::Trace all = sim::simulate(schedule, s.cluster, 3);
        const trace::Trace few = sim::simulate(schedule, s.cluster, 3, {sim::durations_of_programs(schedule, s.cluster), false});
        ASSERT_EQ(all.ranks.size(), few.ranks.size());
        for (std::size_t r = 0; r < all.ranks.size(); ++r) {
            const schedule::Program& program = schedule.program_of(all.ranks[r].rank);
            auto row = few.ranks[r].times.begin();
            std::size_t left_out = 0;
            for (const trace::OpTime& a : all.ranks[r].times) {
                const bool kept = row != few.ranks[r].times.end() && row->step == a.step && row->op == a.op;
                if (!kept) {
                    const schedule::OpKind kind = program.ops[a.op].kind;
                    ASSERT_TRUE(kind == schedule::OpKind::alloc || kind == schedule::OpKind::free) << schedule::name(kind);
                    ASSERT_TRUE(row == few.ranks[r].times.end() || row->issue == a.issue) << "the next row says when it was issued";
                    ++left_out;
                    continue;
                }
                ASSERT_EQ(std::tuple(a.issue, a.begin, a.end, a.live_bytes), std::tuple(row->issue, row->begin, row->end, row->live_bytes));
                ++row;
            }
            EXPECT_EQ(row, few.ranks[r].times.end());
            EXPECT_GT(left_out, all.ranks[r].times.size() / 3);
        }
    }
}

TEST(PlannedSystems, ranks_that_do_not_vary_have_the_times_of_their_role) {
    struct Case {
        System system;
        int stage;
        std::int64_t ranks, shard_group;
    };
    for (const Case& c : {Case{System::zerosim, 0, 8, 0}, Case{System::zerosim, 1, 8, 0}, Case{System::zerosim, 3, 8, 0}, Case{System::ddp, 0, 6, 0},
                          Case{System::fsdp, 3, 8, 0}, Case{System::fsdp2, 3, 8, 4}, Case{System::fsdp2, 3, 16, 8}, Case{System::deepspeed, 3, 8, 0}}) {
        strategy::Scenario s = scenario(c.system, c.stage, c.ranks, c.shard_group);
        const schedule::Schedule schedule = strategy::plan(s);
        const trace::Trace together = sim::simulate(schedule, s.cluster, 3);
        s.cluster.variation.every_rank = true;
        const trace::Trace apart = sim::simulate(schedule, s.cluster, 3);
        ASSERT_EQ(static_cast<std::int64_t>(apart.ranks.size()), c.ranks);
        const std::string what = fmt::format("system {} stage {} of {} ranks", static_cast<int>(c.system), c.stage, c.ranks);
        for (const trace::RankTrace& rank : apart.ranks) {
            const trace::RankTrace& role = of_rank(together, rank.rank);
            ASSERT_EQ(rank.times.size(), role.times.size()) << what;
            for (std::size_t i = 0; i < rank.times.size(); ++i) {
                const trace::OpTime &a = rank.times[i], &b = role.times[i];
                ASSERT_EQ(std::tuple(a.step, a.op, a.issue, a.begin, a.end, a.live_bytes), std::tuple(b.step, b.op, b.issue, b.begin, b.end, b.live_bytes)) << what << " row " << i;
            }
        }
    }
}

/// The most all-gathers (launches) that were issued and not done when another was issued, over the last step.
int most_outstanding_gathers(const strategy::Scenario& s, bool host_waits = true) {
    schedule::Schedule schedule = strategy::plan(s);
    for (schedule::Op& op : schedule.programs[0].ops)
        if (op.kind == schedule::OpKind::host_wait && op.tags.phase != schedule::Phase::init && !host_waits) op.deps_count = 0;
    const trace::Trace trace = sim::simulate(schedule, s.cluster, 3);
    const schedule::Program& program = schedule.program_of(0);
    std::vector<trace::OpTime> gathers;
    for (const trace::OpTime& row : trace.ranks[0].times) {
        const schedule::Op& op = program.ops[row.op];
        if (row.step == 3 && op.kind == schedule::OpKind::collective && program.collective_of(op).kind == CollectiveKind::all_gather) gathers.push_back(row);
    }
    std::size_t most = 0;
    for (const trace::OpTime& issued : gathers) {
        std::set<std::int64_t> ends; // gathers of one launch end together
        for (const trace::OpTime& g : gathers)
            if (g.issue < issued.issue && g.end > issued.issue && g.end != issued.end) ends.insert(g.end);
        most = std::max(most, ends.size());
    }
    return static_cast<int>(most);
}

TEST(PlannedSystems, fsdp_issues_no_third_gather_while_limit_all_gathers_holds) {
    strategy::Scenario s = scenario(System::fsdp, 3, 8);
    EXPECT_LE(most_outstanding_gathers(s), 2);
    s.strategy.fsdp.limit_all_gathers = false;
    EXPECT_GT(most_outstanding_gathers(s), 2) << "else the limit is not what held it";
}

TEST(PlannedSystems, fsdp2_has_no_limit_and_runs_ahead) { EXPECT_GT(most_outstanding_gathers(scenario(System::fsdp2, 3, 8)), 2); }

TEST(PlannedSystems, deepspeed_waits_for_old_fetches_before_it_issues_more) {
    strategy::Scenario s = scenario(System::deepspeed, 3, 8);
    s.strategy.deepspeed.persistence_threshold = 0; // nothing is too small to be sharded
    s.strategy.deepspeed.prefetch_bucket = 500;
    EXPECT_LT(most_outstanding_gathers(s), most_outstanding_gathers(s, false)) << "max_ongoing_fetch_events are host_waits";
}

TEST(PlannedSystems, a_host_that_is_slow_to_issue_holds_up_the_device) {
    strategy::Scenario s = scenario(System::zerosim, 0, 1);
    const schedule::Schedule schedule = strategy::plan(s);
    const auto steady = [&](double issue) {
        s.cluster.device.host_issue_seconds = issue;
        const trace::Trace trace = sim::simulate(schedule, s.cluster, 3);
        const auto& times = trace.ranks[0].times;
        const auto step = std::ranges::equal_range(times, 3, {}, &trace::OpTime::step);
        std::int64_t launches = 0, end = 0;
        for (const trace::OpTime& row : step) {
            const schedule::OpKind kind = schedule.programs[0].ops[row.op].kind;
            launches += kind != schedule::OpKind::alloc && kind != schedule::OpKind::free && kind != schedule::OpKind::host_wait && kind != schedule::OpKind::mark;
            end = std::max(end, row.end);
        }
        return std::pair{launches, end - step.front().issue};
    };
    const auto [launches, slow] = steady(1e-3);
    EXPECT_GE(slow, launches * 1'000'000) << "a millisecond each";
    EXPECT_LE(slow, launches * 1'000'000 + steady(0).second);
}

} // namespace
} // namespace zerosim
