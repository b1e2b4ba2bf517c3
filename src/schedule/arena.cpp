#include "base/error.hpp"
#include "schedule/memory.hpp"

#include <algorithm>
#include <array>
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

/// A storage with a place: its bytes, and from when to when it lives.
struct Placed {
    std::int64_t offset, end;
    std::uint32_t first, last;               // ops: all its lives lie between them
    std::uint32_t lives_begin, lives_end;    // of the lives, sorted by storage; equal: several that live all the time
};

/// Each storage of `lives` (sorted by storage, then time) without a place yet, largest first.
std::vector<Placed> by_size(const Lives& lives) {
    std::vector<Placed> storages;
    for (std::uint32_t i = 0; i < lives.size(); ++i) {
        if (i > 0 && lives[i].storage == lives[i - 1].storage) {
            storages.back().last = lives[i].end;
            ++storages.back().lives_end;
        } else {
            storages.push_back({0, lives[i].bytes, lives[i].begin, lives[i].end, i, i + 1});
        }
    }
    std::ranges::sort(storages, [](const Placed& a, const Placed& b) { return std::tuple(-a.end, a.first) < std::tuple(-b.end, b.first); });
    return storages;
}

/// What has a place so far. Most storages live for a few ops of a long program: they are looked for by time, and what lives all the time
/// (parameters, optimizer states) is one block or a few.
class Shelf {
public:
    Shelf(const Lives& lives, const Program& program)
        : lives_(lives), ops_(static_cast<std::uint32_t>(program.ops.size())), steps_begin_(static_cast<std::uint32_t>(program.first_begin)),
          slices_(ops_ / kSlice + 1) {}

    /// The lowest offset where nothing that lives at the same time lies.
    void place(Placed& mine) {
        if (mine.first < steps_begin_ || is_wide(mine)) {
            for (const Placed& other : all_)
                if (!pass(mine, other)) break;
        } else {
            place_in_steps(mine);
        }
        keep(mine);
    }

private:
    static constexpr std::uint32_t kSlice = 64;   // ops
    static constexpr std::uint32_t kFew = 3;      // slices
    [[nodiscard]] static std::uint32_t slice(std::uint32_t op) { return op / kSlice; }
    [[nodiscard]] static bool is_wide(const Placed& p) { return slice(p.last - 1) - slice(p.first) >= kFew; }

    void place_in_steps(Placed& mine) const {
        std::array<std::span<const Placed>, 2 + kFew> lists{solid_, wide_};   // each with ascending offsets
        std::size_t count = 2;
        for (std::uint32_t i = slice(mine.first); i <= slice(mine.last - 1); ++i) lists[count++] = slices_[i];
        while (true) {
            std::span<const Placed>* next = nullptr;
            for (std::size_t i = 0; i < count; ++i)
                if (!lists[i].empty() && (next == nullptr || lists[i].front().offset < next->front().offset)) next = &lists[i];
            if (next == nullptr || !pass(mine, next->front())) return;
            *next = next->subspan(1);
        }
    }

    /// Moves `mine` behind `other` if both cannot lie there; false if `other`, and so what comes after it, lies behind.
    bool pass(Placed& mine, const Placed& other) const {
        if (other.offset >= mine.end) return false;
        if (other.end > mine.offset && meet(mine, other)) {
            mine.end += other.end - mine.offset;
            mine.offset = other.end;
        }
        return true;
    }

    [[nodiscard]] bool meet(const Placed& a, const Placed& b) const {
        if (b.lives_begin == b.lives_end) return true;
        if (a.first >= b.last || b.first >= a.last) return false;
        for (std::uint32_t i = a.lives_begin; i < a.lives_end; ++i)
            for (std::uint32_t j = b.lives_begin; j < b.lives_end; ++j)
                if (lives_[i].begin < lives_[j].end && lives_[j].begin < lives_[i].end) return true;
        return false;
    }

    static std::vector<Placed>::iterator insert(std::vector<Placed>& list, const Placed& mine) {
        return list.insert(std::ranges::upper_bound(list, mine.offset, {}, &Placed::offset), mine);
    }

    void keep(const Placed& mine) {
        insert(all_, mine);
        if (mine.first < steps_begin_ && mine.last == ops_ && mine.lives_end - mine.lives_begin == 1) {
            keep_solid(mine);
        } else if (is_wide(mine)) {
            insert(wide_, mine);
        } else {
            for (std::uint32_t i = slice(mine.first); i <= slice(mine.last - 1); ++i) insert(slices_[i], mine);
        }
    }

    /// To every step it is one with its neighbours.
    void keep_solid(Placed mine) {
        mine.lives_end = mine.lives_begin;
        auto at = insert(solid_, mine);
        if (at + 1 != solid_.end() && (at + 1)->offset == at->end) {
            at->end = (at + 1)->end;
            solid_.erase(at + 1);
        }
        if (at != solid_.begin() && (at - 1)->end == at->offset) {
            (at - 1)->end = at->end;
            solid_.erase(at);
        }
    }

    const Lives& lives_;
    std::uint32_t ops_, steps_begin_;
    std::vector<Placed> all_, wide_, solid_;   // solid: from init to the end, as the steps see it
    std::vector<std::vector<Placed>> slices_;  // what lives in few slices of the program, by slice
};

/// Largest first, each at the lowest offset where nothing that lives at the same time lies: "greedy by size" of
/// Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020, section 5.2. A storage allocated more than
/// once keeps one offset, so all its lives are placed together.
std::int64_t place(Lives lives, const Program& program, std::vector<std::int64_t>& offsets) {
    std::ranges::stable_sort(lives, {}, &Life::storage);
    Shelf shelf(lives, program);
    std::int64_t total = 0;
    for (Placed& mine : by_size(lives)) {
        shelf.place(mine);
        offsets[lives[mine.lives_begin].storage] = mine.offset;
        total = std::max(total, mine.end);
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
