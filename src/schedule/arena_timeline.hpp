// Which offsets of an arena are taken at which times: a segment tree over a program's ops, whose nodes keep unions of offsets.
// Used by the arena planner, which asks for the lowest offset that is free during a storage's lives.
// Chooses no order: who comes first is the planner's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace zerosim::schedule {

/// Ops [begin, end) during which a storage is allocated.
struct OpSpan {
    std::uint32_t begin = 0, end = 0;
};

class ArenaTimeline {
public:
    explicit ArenaTimeline(std::uint32_t ops);

    /// The lowest offset where `bytes` lie that nobody has during any of `lives`.
    [[nodiscard]] std::int64_t lowest_free(std::span<const OpSpan> lives, std::int64_t bytes);
    void take(std::span<const OpSpan> lives, std::int64_t offset, std::int64_t bytes);

private:
    struct Offsets {
        std::int64_t begin = 0, end = 0;
    };
    using Union = std::vector<Offsets>;   // disjoint, ascending, neighbours joined
    /// What lives during a part of a leaf's ops.
    struct Partial {
        Offsets offsets;
        OpSpan life;
    };
    using Leaf = std::vector<Partial>;    // by offset
    struct Node {
        Union whole;     // of what lives during all of the node's ops, and not during all of its parent's
        Union touched;   // of what lives during some of them
    };
    struct LeafOfLife {
        const Leaf* leaf;
        OpSpan life;
    };

    [[nodiscard]] OpSpan padded(OpSpan life) const { return {life.begin, life.end >= ops_ ? leaves_ * kLeafOps : life.end}; }
    void collect(std::uint32_t node, OpSpan range, OpSpan life);
    void take(std::uint32_t node, OpSpan range, OpSpan life, Offsets offsets);

    static constexpr std::uint32_t kLeafOps = 64;
    std::uint32_t ops_, leaves_;
    std::vector<Node> nodes_;        // 1 = root, children of n: 2n and 2n + 1
    std::vector<Leaf> partials_;     // by leaf
    std::vector<const Union*> unions_;       // of one question
    std::vector<LeafOfLife> leaves_asked_;
};

}  // namespace zerosim::schedule
