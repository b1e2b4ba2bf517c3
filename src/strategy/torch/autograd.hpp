// Autograd as PyTorch's engine does it: nodes by sequence number, accumulation of gradients, saved tensors, checkpointed frames.
// Used by the operations (operations.hpp) and by the planners, which hook nodes and parameters.
// Holds no kernel: a node's `apply` emits those of its backward.
// Sources: torch/csrc/autograd/{engine.cpp,input_buffer.cpp,functions/accumulate_grad.h,saved_variable.cpp}, torch/utils/checkpoint.py.
#pragma once

#include "base/dtype.hpp"
#include "strategy/torch/memory.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace zerosim::strategy::torch {

struct Node;

/// A tensor as Python sees it: a view of a storage, and the node that made it.
struct Value {
    TensorId tensor;
    Buffer buffer;                     // empty for parameters, whose storages have owners of their own
    DType dtype = DType::fp32;
    std::int64_t rows = 0, columns = 0;
    bool transposed = false;           // a weight's gradient as mm returns it: never added to in place (see accumulate)
    std::shared_ptr<Node> node;        // null: requires no gradient
    int output = 0;                    // which of the node's outputs this is
    bool packed = false;               // a saved tensor that lies in host memory
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
using Values = std::vector<Value>;

/// A checkpointed call: its saved tensors are computed again when backward asks for the first one.
struct Frame {
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

/// What a node keeps for its backward.
struct Saved {
    Value value;
    std::shared_ptr<Frame> frame;
    std::size_t index = 0;
};

struct Node {
    std::uint64_t sequence = 0;
    schedule::Tags tags;
    std::vector<std::shared_ptr<Node>> next;                 // by output of `apply`; null: no gradient asked
    std::vector<Saved> saved;
    std::function<Values(Node&, Values&)> apply;             // gradients of outputs -> gradients of inputs
    std::function<void(Node&, Values&)> validate;            // the engine's sum_to and casts of what `apply` returned
    std::function<void()> before;                            // tensor hooks of the output's gradient
    std::int64_t outputs = 1;
    std::vector<int> slots;                                  // which input of `next[i]` this feeds; empty: all 0
    // During a backward:
    Values gradients;
    int dependencies = 0;
    bool visited = false;
};

/// Raised by the last saved tensor of a recomputation: nothing after it is needed [_StopRecomputationError].
struct StopRecomputation {};

class Engine {
public:
    explicit Engine(Memory& memory, std::function<Value(const Value&, const Value&)> add) : memory_(memory), add_(std::move(add)) {}

    [[nodiscard]] std::shared_ptr<Node> node(std::vector<std::shared_ptr<Node>> next);
    [[nodiscard]] Saved save(const Value& value);
    [[nodiscard]] Value unpack(Saved& saved);
    void backward(const Value& root, Value gradient);

    /// Runs `call` as torch.utils.checkpoint does in forward.
    template <class Call>
    Value checkpoint(Value input, Call call) {
        auto frame = std::make_shared<Frame>();
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
    [[nodiscard]] Values computed(bool product, const std::function<Values()>& compute);

private:
    void recompute(Frame& frame);
    [[nodiscard]] Value pack(const Value& value);
    [[nodiscard]] Value unpack_input(const Value& input);
    static void drop_unused(Frame& frame);
    void count_dependencies(Node* root);
    void run(const std::shared_ptr<Node>& node, std::vector<std::shared_ptr<Node>>& ready);
    void accumulate(Value& into, Value gradient);

    Memory& memory_;
    std::function<Value(const Value&, const Value&)> add_;   // out of place
    std::uint64_t next_sequence_ = 0;
    std::shared_ptr<Frame> frame_;      // the checkpoint whose forward runs
    Frame* recomputing_ = nullptr;
    bool in_backward_ = false;
};

}  // namespace zerosim::strategy::torch
