// Autograd's data: tensors as Python sees them, the nodes of the graph and what they save, checkpointed calls.
// Made and run by the engine (autograd.hpp); the operations fill nodes in.
// Decides nothing. A graph has as many nodes as a step has kernels: references are not atomic, and nodes come from a pool.
#pragma once

#include "base/dtype.hpp"
#include "strategy/torch/closure.hpp"
#include "strategy/torch/memory.hpp"

#include <boost/container/small_vector.hpp>
#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <vector>

namespace zerosim::strategy::torch {

struct Node;
class NodePool;
void intrusive_ptr_add_ref(Node* node) noexcept;
void intrusive_ptr_release(Node* node) noexcept;
using NodeRef = boost::intrusive_ptr<Node>;

/// A tensor as Python sees it: a view of a storage, and the node that made it.
struct Value {
    NodeRef node;                      // null: requires no gradient
    Buffer buffer;                     // empty for parameters, whose storages have owners of their own
    std::int64_t rows = 0, columns = 0;
    TensorId tensor;
    std::int16_t output = 0;           // which of the node's outputs this is
    DType dtype = DType::fp32;
    bool transposed : 1 = false;       // a weight's gradient as mm returns it: never added to in place (see Engine::accumulate)
    bool packed : 1 = false;           // a saved tensor that lies in host memory
    [[nodiscard]] bool requires_grad() const { return node != nullptr; }
    [[nodiscard]] std::int64_t elements() const { return rows * columns; }
    [[nodiscard]] std::int64_t bytes() const { return elements() * size_of(dtype); }
    [[nodiscard]] bool defined() const { return tensor.valid(); }
    [[nodiscard]] Value detach() const {
        Value copy = *this;
        copy.node = nullptr;
        return copy;
    }
};
using Values = boost::container::small_vector<Value, 3>;

/// A checkpointed call: its saved tensors are computed again when backward asks for the first one.
struct Frame : boost::intrusive_ref_counter<Frame, boost::thread_unsafe_counter> {
    std::function<void(Frame&)> recompute;
    Value input;                       // kept for the recomputation until the last saved tensor is released
    std::size_t saved = 0;             // how many tensors the forward would have saved
    bool recomputed = false;
    std::vector<Value> values;
    // Selective checkpointing: outputs kept from forward, in order, and how many products were met.
    bool selective = false;
    std::vector<Values> kept;
    std::vector<std::size_t> saved_before;   // `saved` as each output was kept
    std::size_t taken = 0, products = 0;
};
using FrameRef = boost::intrusive_ptr<Frame>;

/// What a node keeps for its backward.
struct Saved {
    Value value;
    FrameRef frame;
    std::size_t index = 0;
};

/// Which input of next[i] output i feeds; 0 where nothing is said.
class Slots {
public:
    Slots& operator=(std::initializer_list<int> slots);
    [[nodiscard]] std::size_t operator[](std::size_t i) const { return i < slots_.size() ? slots_[i] : 0; }

private:
    std::array<std::uint16_t, 4> slots_{};
};

struct Node {
    std::uint64_t sequence = 0;
    schedule::Tags tags;
    boost::container::small_vector<NodeRef, 3> next;         // by output of `apply`; null: no gradient asked
    boost::container::small_vector<Saved, 2> saved;
    Closure<Values(Node&, Values&), 64> apply;               // gradients of outputs -> gradients of inputs; 64: room for a linear layer's
    std::function<void(Node&, Values&)> validate;            // the engine's sum_to and casts of what `apply` returned
    std::function<void()> before;                            // tensor hooks of the output's gradient
    Slots slots;
    // During a backward:
    bool visited = false;
    int dependencies = 0;
    Values* gradients = nullptr;                             // of outputs, as far as they have come; the engine's

    std::uint32_t references = 0;
    NodePool* pool = nullptr;
};

/// Memory of nodes: slabs, and a list of those given back. Outlives its nodes.
class NodePool {
public:
    NodePool() = default;
    NodePool(const NodePool&) = delete;
    NodePool& operator=(const NodePool&) = delete;
    [[nodiscard]] NodeRef make();
    void give_back(Node* node) noexcept;

private:
    union Slot {
        Slot* next;
        alignas(Node) std::array<std::byte, sizeof(Node)> node;
    };
    static constexpr std::size_t kSlab = 64;   // nodes
    std::vector<std::unique_ptr<Slot[]>> slabs_;
    std::size_t used_ = kSlab;   // of the last slab
    Slot* free_ = nullptr;
    std::vector<Node*> waiting_;   // nothing refers to them: to be given back
    bool giving_back_ = false;
};

inline void intrusive_ptr_add_ref(Node* node) noexcept { ++node->references; }
inline void intrusive_ptr_release(Node* node) noexcept {
    if (--node->references == 0) node->pool->give_back(node);
}

}  // namespace zerosim::strategy::torch
