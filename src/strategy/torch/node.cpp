#include "strategy/torch/node.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <cstddef>
#include <new>
#include <utility>

namespace zerosim::strategy::torch {

Slots& Slots::operator=(std::initializer_list<int> slots) {
    check(slots.size() <= slots_.size(), "a node with more slots than there is room for");
    slots_ = {};
    std::ranges::transform(slots, slots_.begin(), [](int slot) { return static_cast<std::uint16_t>(slot); });
    return *this;
}

NodeRef NodePool::make() {
    if (free_ == nullptr && used_ == kSlab) {
        slabs_.push_back(std::make_unique_for_overwrite<Slot[]>(kSlab));
        used_ = 0;
    }
    Slot* const slot = free_ != nullptr ? free_ : &slabs_.back()[used_++];
    if (slot == free_) free_ = slot->next;
    Node* const node = new (slot) Node;
    node->pool = this;
    return NodeRef(node);
}

/// A node lets go of the nodes that it feeds: a graph is a chain as long as the model, which recursion would not survive.
void NodePool::give_back(Node* node) noexcept {
    waiting_.push_back(node);
    if (std::exchange(giving_back_, true)) return;
    while (!waiting_.empty()) {
        Node* const last = waiting_.back();
        waiting_.pop_back();
        const auto before = static_cast<std::ptrdiff_t>(waiting_.size());
        last->~Node();
        std::reverse(waiting_.begin() + before, waiting_.end());   // the first that it let go comes first
        free_ = new (last) Slot{.next = free_};
    }
    giving_back_ = false;
}

}  // namespace zerosim::strategy::torch
