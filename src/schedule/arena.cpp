#include "base/error.hpp"
#include "schedule/memory.hpp"

#include <algorithm>
#include <map>

namespace zerosim::schedule {
namespace {

/// A storage's life in program order: [alloc, free) of one (possibly the only) time it is allocated.
struct Life {
    std::uint32_t storage;
    std::size_t begin, end;
    std::int64_t bytes;
};

std::int64_t aligned(std::int64_t bytes) { return (bytes + kArenaAlignment - 1) / kArenaAlignment * kArenaAlignment; }

std::vector<std::vector<Life>> lives_by_pool(const Program& program) {
    std::vector<std::vector<Life>> pools(program.pools.size());
    std::vector<std::size_t> open(program.storages.size(), SIZE_MAX);
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
        const Op& op = program.ops[i];
        if (op.kind != OpKind::alloc && op.kind != OpKind::free) continue;
        const Storage& storage = program.storage(op.storage);
        auto& lives = pools[storage.pool.index()];
        if (op.kind == OpKind::alloc) {
            open[op.storage.index()] = lives.size();
            lives.push_back({op.storage.value, i, program.ops.size(), aligned(storage.bytes)});
        } else {
            check(open[op.storage.index()] != SIZE_MAX, "free of a storage that is not allocated");
            lives[open[op.storage.index()]].end = i;
            open[op.storage.index()] = SIZE_MAX;
        }
    }
    return pools;
}

std::int64_t most_live(const std::vector<Life>& lives) {
    std::map<std::size_t, std::int64_t> changes;
    for (const Life& life : lives) {
        changes[life.begin] += life.bytes;
        changes[life.end] -= life.bytes;
    }
    std::int64_t live = 0, most = 0;
    for (const auto& [at, change] : changes) most = std::max(most, live += change);
    return most;
}

/// Largest first, each at the lowest offset where nothing that lives at the same time lies: "greedy by size" of
/// Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020, section 5.2. A storage allocated more than
/// once keeps one offset, so all its lives are placed together.
std::int64_t place(std::vector<Life> lives, std::vector<std::int64_t>& offsets) {
    std::stable_sort(lives.begin(), lives.end(), [](const Life& a, const Life& b) { return a.bytes > b.bytes; });
    struct Placed {
        std::int64_t offset, end;
        std::vector<std::pair<std::size_t, std::size_t>> spans;
    };
    std::vector<Placed> placed;   // ascending offsets
    std::int64_t total = 0;
    std::map<std::uint32_t, std::vector<std::pair<std::size_t, std::size_t>>> spans;
    for (const Life& life : lives) spans[life.storage].emplace_back(life.begin, life.end);
    std::vector<bool> done(offsets.size(), false);
    for (const Life& life : lives) {
        if (done[life.storage]) continue;
        done[life.storage] = true;
        const auto& mine = spans[life.storage];
        std::int64_t offset = 0;
        for (const Placed& other : placed) {
            if (other.offset >= offset + life.bytes || other.end <= offset) continue;
            const bool meets = std::any_of(mine.begin(), mine.end(), [&](const auto& a) {
                return std::any_of(other.spans.begin(), other.spans.end(), [&](const auto& b) { return a.first < b.second && b.first < a.second; });
            });
            if (meets) offset = other.end;
        }
        offsets[life.storage] = offset;
        total = std::max(total, offset + life.bytes);
        const Placed entry{offset, offset + life.bytes, mine};
        placed.insert(std::upper_bound(placed.begin(), placed.end(), entry, [](const Placed& a, const Placed& b) { return a.offset < b.offset; }), entry);
    }
    return total;
}

}  // namespace

ArenaPlan plan_arena(const Program& program) {
    ArenaPlan plan;
    plan.offsets.assign(program.storages.size(), 0);
    for (const auto& lives : lives_by_pool(program)) {
        plan.pool_lower_bounds.push_back(most_live(lives));
        plan.pool_bytes.push_back(place(lives, plan.offsets));
    }
    return plan;
}

}  // namespace zerosim::schedule
