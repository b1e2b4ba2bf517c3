// The arena planner against the plain form of its rule, on random programs: storages that live for a moment, across steps, or all the time,
// and such as are allocated again.
#include "schedule/builder.hpp"
#include "schedule/memory.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <tuple>
#include <vector>

namespace zerosim::schedule {
namespace {

/// Storages of up to 40 cache lines: 40 begin in init; then 900 ops each begin or end a life.
Schedule random_schedule(unsigned seed) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    Schedule schedule;
    ProgramBuilder program(schedule);
    const StreamId stream = program.stream("compute", StreamKind::compute);
    const PoolId pools[] = {program.pool("one", stream), program.pool("two", stream)};
    std::vector<StorageId> live, gone;
    const auto begin_life = [&] {
        if (!gone.empty() && below(10) == 0) {   // again
            live.push_back(gone.back());
            gone.pop_back();
        } else {
            live.push_back(program.storage("s", 1 + below(40 * 64), pools[below(2)], Role::activation));
        }
        program.alloc(live.back());
    };
    for (int i = 0; i < 40; ++i) begin_life();
    program.begin_first();
    for (int i = 0; i < 900; ++i) {
        if (live.size() < 10 || below(2) == 0) {
            begin_life();
            continue;
        }
        // Mostly one of the youngest ends.
        const int size = static_cast<int>(live.size());
        const auto at = static_cast<std::size_t>(below(8) == 0 ? below(size) : size - 1 - below(5));
        program.free(live[at]);
        gone.push_back(live[at]);
        live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
    }
    program.finish();
    return schedule;
}

std::int64_t aligned(std::int64_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

struct Item {
    std::uint32_t storage;
    std::int64_t bytes;
    std::vector<std::pair<std::size_t, std::size_t>> lives;
    std::int64_t offset = 0;
    [[nodiscard]] bool meets(const Item& other) const {
        return std::ranges::any_of(lives, [&](const auto& a) {
            return std::ranges::any_of(other.lives, [&](const auto& b) { return a.first < b.second && b.first < a.second; });
        });
    }
};

/// Largest first (then the first to live), each at the lowest offset where it meets nothing.
std::vector<std::int64_t> plain_offsets(const Program& program, PoolId pool) {
    std::vector<Item> items;
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
        const Op& op = program.ops[i];
        const Storage& storage = program.storage(op.storage);
        if (storage.pool != pool) continue;
        auto item = std::ranges::find(items, op.storage.value, &Item::storage);
        if (item == items.end()) item = items.insert(item, {op.storage.value, aligned(storage.bytes), {}});
        if (op.kind == OpKind::alloc) item->lives.emplace_back(i, program.ops.size());
        else item->lives.back().second = i;
    }
    std::ranges::sort(items, {}, [](const Item& item) { return std::tuple(-item.bytes, item.lives.front().first); });
    std::vector<std::int64_t> offsets(program.storages.size(), -1);
    for (std::size_t i = 0; i < items.size(); ++i) {
        Item& mine = items[i];
        for (bool moved = true; moved;) {
            moved = false;
            for (std::size_t j = 0; j < i; ++j) {
                const Item& other = items[j];
                if (other.offset >= mine.offset + mine.bytes || mine.offset >= other.offset + other.bytes || !mine.meets(other)) continue;
                mine.offset = other.offset + other.bytes;
                moved = true;
            }
        }
        offsets[mine.storage] = mine.offset;
    }
    return offsets;
}

TEST(ArenaPlan, IsWhatThePlainRuleGives) {
    for (unsigned seed = 1; seed <= 30; ++seed) {
        const Schedule schedule = random_schedule(seed);
        const Program& program = schedule.programs[0];
        const ArenaPlan plan = plan_arena(program);
        for (std::size_t pool = 0; pool < 2; ++pool) {
            const auto plain = plain_offsets(program, PoolId{pool});
            std::int64_t total = 0;
            for (std::size_t s = 0; s < plain.size(); ++s) {
                if (plain[s] < 0) continue;
                ASSERT_EQ(plan.offsets[s], plain[s]) << "seed " << seed << " storage " << s;
                total = std::max(total, plain[s] + aligned(program.storages[s].bytes));
            }
            EXPECT_EQ(plan.pool_bytes[pool], total);
            EXPECT_GE(total, plan.pool_lower_bounds[pool]);
        }
    }
}

TEST(MemoryProfile, RolesAtThePeakAddUpToIt) {
    for (unsigned seed = 1; seed <= 30; ++seed) {
        Schedule schedule = random_schedule(seed);
        Program& program = schedule.programs[0];
        for (std::size_t s = 0; s < program.storages.size(); ++s) {   // two roles, and padding in one of them
            program.storages[s].role = s % 3 == 0 ? Role::gradient : Role::activation;
            if (s % 3 == 0) program.storages[s].payload_total = program.storages[s].bytes / 2;
        }
        schedule.roles.push_back({0, 0, 1});
        const MemoryProfile profile = memory_profile(schedule, 0);
        std::int64_t at_peak = 0, after = 0;
        for (const std::int64_t bytes : profile.at_peak) at_peak += bytes;
        for (const std::int64_t bytes : profile.after_step_by_role) after += bytes;
        EXPECT_EQ(at_peak, profile.peak);
        EXPECT_EQ(after, profile.after_step);
        RoleBytes plain{};
        for (std::size_t i = 0; i <= profile.peak_op.index(); ++i) {
            const Op& op = program.ops[i];
            const Storage& storage = program.storage(op.storage);
            const std::int64_t sign = op.kind == OpKind::alloc ? 1 : -1;
            plain[static_cast<std::size_t>(storage.role)] += sign * storage.payload(0);
            plain[static_cast<std::size_t>(Role::padding)] += sign * (storage.bytes - storage.payload(0));
        }
        EXPECT_EQ(profile.at_peak, plain);
    }
}

}  // namespace
}  // namespace zerosim::schedule
