// Autograd as PyTorch's engine does it: nodes by sequence number, accumulation of gradients, saved tensors, checkpointed frames.
// Used by the operations (operations.hpp) and by the planners, which hook nodes and parameters.
// Holds no kernel: a node's `apply` emits those of its backward.
// Sources: torch/csrc/autograd/{engine.cpp,input_buffer.cpp,functions/accumulate_grad.h,saved_variable.cpp}, torch/utils/checkpoint.py.
#pragma once

#include "strategy/torch/node.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <initializer_list>
#include <utility>
#include <vector>

namespace zerosim::strategy::torch {

/// Raised by the last saved tensor of a recomputation: nothing after it is needed [_StopRecomputationError].
struct StopRecomputation {};

class Engine {
public:
    explicit Engine(Memory& memory, std::function<Value(const Value&, const Value&)> add) : memory_(memory), add_(std::move(add)) {}

    /// A node whose outputs feed `next`; null if none of them asks for a gradient.
    [[nodiscard]] NodeRef node(std::initializer_list<NodeRef> next);
    /// One that feeds nothing: a parameter's.
    [[nodiscard]] NodeRef leaf();
    [[nodiscard]] Saved save(const Value& value);
    [[nodiscard]] Value unpack(Saved& saved);
    void backward(const Value& root, Value gradient);

    /// Runs `call` as torch.utils.checkpoint does in forward.
    template <class Call>
    Value checkpoint(Value input, Call call) {
        const FrameRef frame(new Frame);
        frame->selective = selective;
        frame->input = pack(input);   // [_NoopSaveInputs]: the input is a saved tensor like others
        frame->input.node = input.node;
        frame->recompute = [this, call](Frame& own) { static_cast<void>(call(unpack_input(own.input))); };
        frame_ = frame;
        Value output = call(input);
        frame_ = nullptr;
        if (drops_unused) drop_unused(*frame);
        return output;
    }
    [[nodiscard]] bool in_backward() const { return in_backward_; }
    [[nodiscard]] bool recomputing() const { return recomputing_ != nullptr; }
    /// Around a recomputation: entering and leaving its autocast context.
    std::function<void()> after_recompute;
    bool early_stop = true;
    bool selective = false;   // checkpoints keep attention and every second product [torchtitan _get_custom_policy]
    /// Compiled blocks: of what a selective checkpoint may keep, only what backward needs is saved [AOTAutograd's partitioner].
    bool drops_unused = false;
    /// Hooks of saved tensors [torch.autograd.graph.saved_tensors_hooks]; none: they are kept as they are.
    std::function<Value(const Value&)> to_host, to_device;

    /// Outputs of `compute`; in a recomputation those that a selective checkpoint has kept.
    template <class Compute>
    [[nodiscard]] Values computed(bool product, const Compute& compute) {
        Frame* const frame = recomputing_ != nullptr ? recomputing_ : frame_.get();
        const bool kept = frame != nullptr && frame->selective && (!product || frame->products++ % 2 == 0);
        return kept ? kept_or_computed(*frame, compute) : compute();
    }

private:
    void recompute(Frame& frame);
    [[nodiscard]] Value pack(const Value& value);
    [[nodiscard]] Value unpack_input(const Value& input);
    static void drop_unused(Frame& frame);
    void count_dependencies(Node* root);
    void run(Node& node, std::vector<NodeRef>& ready);
    [[nodiscard]] Value& gradient_of(Node& node, std::size_t output);
    void give_back_gradients(Node& node);
    [[nodiscard]] Values kept_or_computed(Frame& frame, const std::function<Values()>& compute);
    void accumulate(Value& into, Value gradient);

    Memory& memory_;
    std::function<Value(const Value&, const Value&)> add_;   // out of place
    std::uint64_t next_sequence_ = 0;
    NodePool nodes_;
    std::deque<Values> gradients_;      // of nodes that have not run yet [InputBuffer], and those not in use
    std::vector<Values*> unused_gradients_;
    FrameRef frame_;                    // the checkpoint whose forward runs
    Frame* recomputing_ = nullptr;
    bool in_backward_ = false;
};

}  // namespace zerosim::strategy::torch
