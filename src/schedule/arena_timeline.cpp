#include "schedule/arena_timeline.hpp"

#include <algorithm>
#include <bit>

namespace zerosim::schedule {
namespace {

bool covers(OpSpan outer, OpSpan inner) { return outer.begin <= inner.begin && inner.end <= outer.end; }
bool meet(OpSpan a, OpSpan b) { return a.begin < b.end && b.begin < a.end; }

}  // namespace

ArenaTimeline::ArenaTimeline(std::uint32_t ops) : ops_(ops), leaves_(std::bit_ceil(ops / kLeafOps + 1)), nodes_(2 * std::size_t{leaves_}), partials_(leaves_) {}

/// Unions of nodes, and parts of leaves, that hold all that lives at the same time as `life`.
void ArenaTimeline::collect(std::uint32_t node, OpSpan range, OpSpan life) {
    const Node& here = nodes_[node];
    if (here.touched.empty() && here.whole.empty()) return;
    if (covers(life, range)) {
        unions_.push_back(&here.touched);
        return;
    }
    if (!here.whole.empty()) unions_.push_back(&here.whole);
    if (node >= leaves_) {
        leaves_asked_.push_back({&partials_[node - leaves_], life});
        return;
    }
    const std::uint32_t middle = (range.begin + range.end) / 2;
    if (life.begin < middle) collect(2 * node, {range.begin, middle}, life);
    if (life.end > middle) collect(2 * node + 1, {middle, range.end}, life);
}

std::int64_t ArenaTimeline::lowest_free(std::span<const OpSpan> lives, std::int64_t bytes) {
    unions_.clear();
    leaves_asked_.clear();
    for (const OpSpan life : lives) collect(1, {0, leaves_ * kLeafOps}, padded(life));
    std::int64_t lowest = 0;
    for (bool moved = true; moved;) {
        const std::int64_t before = lowest;
        for (const Union* taken : unions_) {
            auto at = std::ranges::upper_bound(*taken, lowest, {}, &Offsets::end);
            for (; at != taken->end() && at->begin < lowest + bytes; ++at) lowest = at->end;
        }
        for (const auto& [leaf, life] : leaves_asked_) {
            for (const Partial& other : *leaf) {
                if (other.offsets.begin >= lowest + bytes) break;
                if (other.offsets.end > lowest && meet(other.life, life)) lowest = other.offsets.end;
            }
        }
        moved = lowest != before;
    }
    return lowest;
}

void ArenaTimeline::take(std::uint32_t node, OpSpan range, OpSpan life, Offsets offsets) {
    const auto add = [offsets](Union& all) {
        auto first = std::ranges::lower_bound(all, offsets.begin, {}, &Offsets::end);
        auto last = first;
        Offsets joined = offsets;
        for (; last != all.end() && last->begin <= offsets.end; ++last) joined = {std::min(joined.begin, last->begin), std::max(joined.end, last->end)};
        if (first == last) {
            all.insert(first, joined);
        } else {
            *first = joined;
            all.erase(first + 1, last);
        }
    };
    add(nodes_[node].touched);
    if (covers(life, range)) {
        add(nodes_[node].whole);
        return;
    }
    if (node >= leaves_) {
        Leaf& leaf = partials_[node - leaves_];
        const auto at = std::ranges::upper_bound(leaf, offsets.begin, {}, [](const Partial& p) { return p.offsets.begin; });
        leaf.insert(at, {offsets, life});
        return;
    }
    const std::uint32_t middle = (range.begin + range.end) / 2;
    if (life.begin < middle) take(2 * node, {range.begin, middle}, life, offsets);
    if (life.end > middle) take(2 * node + 1, {middle, range.end}, life, offsets);
}

void ArenaTimeline::take(std::span<const OpSpan> lives, std::int64_t offset, std::int64_t bytes) {
    if (bytes == 0) return;
    for (const OpSpan life : lives) take(1, {0, leaves_ * kLeafOps}, padded(life), {offset, offset + bytes});
}

}  // namespace zerosim::schedule
