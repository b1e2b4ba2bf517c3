#include "strategy/torch/autograd.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <utility>

namespace zerosim::strategy::torch {
namespace {

bool later(const NodeRef& a, const NodeRef& b) { return a->sequence < b->sequence; }

}  // namespace

NodeRef Engine::node(std::initializer_list<NodeRef> next) {
    if (std::ranges::all_of(next, [](const NodeRef& n) { return n == nullptr; })) return nullptr;
    NodeRef result = nodes_.make();
    result->sequence = next_sequence_++;
    result->tags = memory_.program().tags;
    result->next.assign(next.begin(), next.end());
    return result;
}

NodeRef Engine::leaf() {
    NodeRef result = nodes_.make();
    result->sequence = ~std::uint64_t{0};   // [AccumulateGrad]: runs before all others
    return result;
}

Saved Engine::save(const Value& value) {
    if (frame_) return {{}, frame_, frame_->saved++};
    // The recomputation's own graph holds its tensors too, until it ends.
    if (recomputing_ != nullptr) {
        recomputing_->values.push_back(value.detach());
        if (early_stop && recomputing_->values.size() == recomputing_->saved) throw StopRecomputation{};
    }
    return {recomputing_ != nullptr ? value.detach() : pack(value), nullptr, 0};
}

/// torchtune's OffloadActivations: tensors of 1,024 bytes and more that are no parameters (whose values have no buffer here).
Value Engine::pack(const Value& value) {
    constexpr std::int64_t kSmallest = 1024;
    if (!to_host || !value.buffer.valid() || value.bytes() < kSmallest) return value.detach();
    Value packed = to_host(value);
    packed.packed = true;
    return packed;
}

Value Engine::unpack_input(const Value& input) {
    if (!input.packed) return input;
    Value back = to_device(input);
    back.node = input.node;
    return back;
}

/// Outputs after which the block saved nothing more (its last product) feed no backward.
void Engine::drop_unused(Frame& frame) {
    for (std::size_t i = 0; i < frame.kept.size(); ++i)
        if (frame.saved_before[i] == frame.saved) frame.kept[i].clear();
}

Value Engine::unpack(Saved& saved) {
    if (!saved.frame) return saved.value.packed ? to_device(saved.value) : saved.value;
    if (!saved.frame->recomputed) recompute(*saved.frame);
    // The node's apply() is the only owner from here on.
    return std::exchange(saved.frame->values.at(saved.index), Value{});
}

void Engine::recompute(Frame& frame) {
    const schedule::Tags tags = memory_.program().tags;
    memory_.program().tags.recompute = true;
    recomputing_ = &frame;
    frame.products = 0;
    frame.values.reserve(frame.saved);
    try {
        frame.recompute(frame);
    } catch (const StopRecomputation&) {
        // All saved tensors are there.
    }
    recomputing_ = nullptr;
    frame.recomputed = true;
    frame.kept.clear();
    memory_.program().tags = tags;
    check(frame.values.size() == frame.saved, "a recomputation saved other tensors than its forward");
    if (after_recompute) after_recompute();
}

Values Engine::kept_or_computed(Frame& frame, const std::function<Values()>& compute) {
    if (recomputing_ != nullptr) {
        Values kept = std::exchange(frame.kept.at(frame.taken++), Values{});
        return kept.empty() ? compute() : kept;
    }
    Values outputs = compute();
    frame.kept.push_back(outputs);
    frame.saved_before.push_back(frame.saved);
    return outputs;
}

void Engine::count_dependencies(Node* root) {
    std::vector<Node*> open{root};
    root->visited = true;
    while (!open.empty()) {
        Node* const node = open.back();
        open.pop_back();
        for (const auto& next : node->next) {
            if (!next) continue;
            ++next->dependencies;
            if (!std::exchange(next->visited, true)) open.push_back(next.get());
        }
    }
}

/// [InputBuffer::accumulate]: in place if nothing else refers to the first gradient. A weight's gradient that mm returned transposed is
/// added out of place (measured: tied embeddings hold three such gradients at once).
void Engine::accumulate(Value& into, Value gradient) {
    if (!into.defined()) {
        into = std::move(gradient);
        return;
    }
    if (into.buffer.unique() && !into.transposed) {
        memory_.program().copy(StreamId{0}, gradient.tensor, into.tensor, true);
        return;
    }
    into = add_(into, gradient);
}

Value& Engine::gradient_of(Node& node, std::size_t output) {
    if (node.gradients == nullptr) {
        if (unused_gradients_.empty()) unused_gradients_.push_back(&gradients_.emplace_back());
        node.gradients = unused_gradients_.back();
        unused_gradients_.pop_back();
    }
    if (node.gradients->size() <= output) node.gradients->resize(output + 1);
    return (*node.gradients)[output];
}

void Engine::give_back_gradients(Node& node) {
    node.gradients->clear();
    unused_gradients_.push_back(std::exchange(node.gradients, nullptr));
}

void Engine::run(Node& node, std::vector<NodeRef>& ready) {
    memory_.program().tags.layer = node.tags.layer;
    if (node.before) node.before();
    Values outputs = node.apply(node, *node.gradients);
    if (node.validate) node.validate(node, outputs);
    give_back_gradients(node);
    node.saved.clear();   // [release_variables]
    node.visited = false;
    for (std::size_t i = 0; i < node.next.size(); ++i) {
        const NodeRef& next = node.next[i];
        if (!next) continue;
        accumulate(gradient_of(*next, node.slots[i]), std::move(outputs.at(i)));
        if (--next->dependencies == 0) {
            ready.push_back(next);
            std::push_heap(ready.begin(), ready.end(), later);
        }
    }
}

void Engine::backward(const Value& root, Value gradient) {
    check(root.requires_grad(), "backward of a value that requires no gradient");
    in_backward_ = true;
    count_dependencies(root.node.get());
    gradient_of(*root.node, 0) = gradient;   // which itself lives until the end [torch/autograd/__init__.py, backward: grad_tensors_]
    std::vector<NodeRef> ready{root.node};
    while (!ready.empty()) {
        std::pop_heap(ready.begin(), ready.end(), later);
        const NodeRef node = std::move(ready.back());
        ready.pop_back();
        run(*node, ready);
    }
    in_backward_ = false;
}

}  // namespace zerosim::strategy::torch
