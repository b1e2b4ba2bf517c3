#include "base/error.hpp"
#include "schedule/arena_timeline.hpp"
#include "schedule/memory.hpp"

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>

namespace zerosim::schedule {
namespace {

/// A storage's life in program order: [alloc, free) of one (possibly the only) time it is allocated.
struct Life {
    std::uint32_t storage, begin, end;
    std::int64_t bytes;
};
using Lives = std::vector<Life>;

std::int64_t aligned(std::int64_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

std::vector<Lives> lives_by_pool(const Program& program) {
    std::vector<Lives> pools(program.pools.size());
    std::vector<std::size_t> open(program.storages.size(), SIZE_MAX);
    const auto end = static_cast<std::uint32_t>(program.ops.size());
    for (std::uint32_t i = 0; i < end; ++i) {
        const Op& op = program.ops[i];
        if (op.kind != OpKind::alloc && op.kind != OpKind::free) continue;
        const Storage& storage = program.storage(op.storage);
        auto& lives = pools[storage.pool.index()];
        if (op.kind == OpKind::alloc) {
            open[op.storage.index()] = lives.size();
            lives.push_back({op.storage.value, i, end, aligned(storage.bytes)});
        } else {
            check(open[op.storage.index()] != SIZE_MAX, "free of a storage that is not allocated");
            lives[open[op.storage.index()]].end = i;
            open[op.storage.index()] = SIZE_MAX;
        }
    }
    return pools;
}

std::int64_t most_live(const Lives& lives) {
    std::vector<std::pair<std::uint32_t, std::int64_t>> changes;   // of one op, or of all that live to the end
    changes.reserve(2 * lives.size());
    for (const Life& life : lives) {
        changes.emplace_back(life.begin, life.bytes);
        changes.emplace_back(life.end, -life.bytes);
    }
    std::ranges::sort(changes);
    std::int64_t live = 0, most = 0;
    for (const auto& [at, change] : changes) most = std::max(most, live += change);
    return most;
}

/// A storage without a place yet, and its lives: `count` from `first` on.
struct Unplaced {
    std::int64_t bytes;
    std::uint32_t begin;          // op
    std::size_t first, count;
};

/// Each storage of `lives` (sorted by storage, then time), largest first.
std::vector<Unplaced> by_size(const Lives& lives) {
    std::vector<Unplaced> storages;
    for (std::size_t i = 0; i < lives.size(); ++i) {
        if (i > 0 && lives[i].storage == lives[i - 1].storage) {
            ++storages.back().count;
        } else {
            storages.push_back({lives[i].bytes, lives[i].begin, i, 1});
        }
    }
    std::ranges::sort(storages, [](const Unplaced& a, const Unplaced& b) { return std::tuple(-a.bytes, a.begin) < std::tuple(-b.bytes, b.begin); });
    return storages;
}

/// Largest first, each at the lowest offset where nothing that lives at the same time lies: "greedy by size" of
/// Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020, section 5.2. A storage allocated more than
/// once keeps one offset, so all its lives are placed together.
std::int64_t place(Lives lives, const Program& program, std::vector<std::int64_t>& offsets) {
    std::ranges::stable_sort(lives, {}, &Life::storage);
    std::vector<OpSpan> times;
    times.reserve(lives.size());
    for (const Life& life : lives) times.push_back({life.begin, life.end});
    ArenaTimeline taken(static_cast<std::uint32_t>(program.ops.size()));
    std::int64_t total = 0;
    for (const Unplaced& storage : by_size(lives)) {
        const std::span<const OpSpan> own(times.data() + storage.first, storage.count);
        const std::int64_t offset = taken.lowest_free(own, storage.bytes);
        taken.take(own, offset, storage.bytes);
        offsets[lives[storage.first].storage] = offset;
        total = std::max(total, offset + storage.bytes);
    }
    return total;
}

}  // namespace

ArenaPlan plan_arena(const Program& program) {
    ArenaPlan plan;
    plan.offsets.assign(program.storages.size(), 0);
    for (const Lives& lives : lives_by_pool(program)) {
        plan.pool_lower_bounds.push_back(most_live(lives));
        plan.pool_bytes.push_back(place(lives, program, plan.offsets));
    }
    return plan;
}

}  // namespace zerosim::schedule
