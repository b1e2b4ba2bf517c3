// Nodes of the eager tape: their pool, what they hold, and the closures in them.
#include "strategy/torch/autograd.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <utility>

namespace zerosim::strategy::torch {
namespace {

TEST(NodePool, MemoryOfANodeIsUsedAgainOnceNothingRefersToIt) {
    NodePool pool;
    NodeRef first = pool.make();
    const Node* const where = first.get();
    NodeRef second = first;
    first = nullptr;
    {
        const NodeRef other = pool.make();
        EXPECT_NE(other.get(), where);   // `second` still refers to it
    }
    EXPECT_EQ(second->references, 1u);
    second = nullptr;
    EXPECT_EQ(pool.make().get(), where);
}

TEST(NodePool, ANodeGivesBackTheNodesItFeeds) {
    NodePool pool;
    NodeRef root = pool.make();
    for (int i = 0; i < 200; ++i) {   // more than a slab
        NodeRef next = pool.make();
        next->next.push_back(root);
        root = next;
    }
    const Node* const last = root.get();
    const NodeRef kept = root->next[0];
    root = nullptr;
    EXPECT_EQ(kept->references, 1u);
    EXPECT_EQ(pool.make().get(), last);
}

TEST(NodePool, AChainLongerThanTheStackIsGivenBack) {
    NodePool pool;
    NodeRef root = pool.make();
    const NodeRef leaf = root;
    for (int i = 0; i < 200'000; ++i) {   // a model of 12,000 blocks
        NodeRef next = pool.make();
        next->next.push_back(std::move(root));
        root = std::move(next);
    }
    root = nullptr;
    EXPECT_EQ(leaf->references, 1u);
}

TEST(NodePool, AUsedNodeComesBackAsNew) {
    NodePool pool;
    {
        const NodeRef node = pool.make();
        node->sequence = 7;
        node->slots = {2, 1};
        node->apply = [](Node&, Values&) { return Values{}; };
        node->saved.emplace_back();
    }
    const NodeRef again = pool.make();
    EXPECT_EQ(again->sequence, 0u);
    EXPECT_EQ(again->slots[0], 0u);
    EXPECT_FALSE(again->apply);
    EXPECT_TRUE(again->saved.empty());
}

TEST(NodeSlots, WhatIsNotNamedIsZero) {
    Slots slots;
    slots = {3, 0, 5};
    EXPECT_EQ(slots[0], 3u);
    EXPECT_EQ(slots[2], 5u);
    EXPECT_EQ(slots[3], 0u);
    EXPECT_EQ(slots[100], 0u);
    slots = {1};
    EXPECT_EQ(slots[2], 0u);
}

/// A closure with `extra` bytes beside what it counts.
template <std::size_t Extra>
void holds_and_drops() {
    const auto counted = std::make_shared<int>(5);
    {
        Closure<int(int), 32> closure;
        EXPECT_FALSE(closure);
        closure = [counted, padding = std::array<char, Extra>{}](int x) { return *counted + x + padding[0]; };
        EXPECT_TRUE(closure);
        EXPECT_EQ(counted.use_count(), 2);
        EXPECT_EQ(closure(2), 7);
        closure = [](int x) { return x; };   // drops what it held
        EXPECT_EQ(counted.use_count(), 1);
        EXPECT_EQ(closure(2), 2);
        closure = [counted, padding = std::array<char, Extra>{}](int x) { return *counted - x - padding[0]; };
        EXPECT_EQ(closure(1), 4);
    }
    EXPECT_EQ(counted.use_count(), 1);
}

TEST(Closure, HoldsItsCapturesInPlaceOrApart) {
    holds_and_drops<1>();
    holds_and_drops<100>();
}

TEST(Closure, PassesReferencesOn) {
    Closure<void(int&), 32> closure;
    closure = [](int& x) { x = 9; };
    int x = 0;
    closure(x);
    EXPECT_EQ(x, 9);
}

}  // namespace
}  // namespace zerosim::strategy::torch
