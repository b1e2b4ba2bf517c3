// torch.optim's step: states made at the first step, temporaries of its implementation, clipping before it.
// Called by the planners ddp and fsdp2 with the tensors that this rank updates.
// Knows no sharding: a shard is a tensor like any other.
#pragma once

#include "strategy/scenario.hpp"
#include "strategy/torch/tape.hpp"

#include <optional>
#include <vector>

namespace zerosim::strategy::torch {

/// A tensor to update: a parameter, or this rank's shard of one.
struct Updated {
    std::string_view name;
    int layer = -1;
    std::int64_t elements = 0;
    DType dtype = DType::fp32;
    TensorId parameter;
    TensorId gradient = {};                // invalid: can be planned, not run
    schedule::ShardRange range = {};       // which elements of the model's parameter these are
};

/// Ranks that hold different parts of the gradients: their squared norms are summed.
struct NormReduction {
    StreamId stream;
    AxisId axis;
};

class OptimizerStep {
public:
    OptimizerStep(Tape& tape, const Scenario& scenario) : tape_(tape), scenario_(scenario) {}
    /// clip_grad_norm_ over gradients of these sizes.
    void clip(const std::vector<Updated>& gradients, std::optional<NormReduction> reduction = {});
    void step(const std::vector<Updated>& tensors);
    /// The same for one tensor, as soon as its gradient is complete.
    void step_one(const Updated& tensor);
    /// Shards that lie in host memory: the states lie there too, and the CPU updates them.
    void step_on_host(const std::vector<Updated>& tensors, PoolId pool);

private:
    void make_states(const std::vector<Updated>& tensors);
    void make_state(const Updated& tensor);
    void make_host_states(const std::vector<Updated>& tensors, PoolId pool);
    void make_8bit_state(const Updated& tensor);
    void clear_states(std::size_t from);
    void keep_state(const char* name, std::int64_t elements, DType dtype, schedule::Role role);
    void update(const std::vector<Updated>& tensors, std::int64_t elements);
    [[nodiscard]] kernel::Attributes attributes(std::int64_t elements) const;
    [[nodiscard]] Value total_squares(const std::vector<TensorId>& norms, std::optional<NormReduction> reduction);
    void scale_gradients(const std::vector<Updated>& gradients, const Value& squares);
    struct State {
        TensorId parameter, step, first, second;
    };
    Tape& tape_;
    const Scenario& scenario_;
    std::vector<Value> states_;
    std::vector<Buffer> host_states_;
    StreamId host_;                         // of the CPU, with host_states_
    Buffer signed_map_, unsigned_map_;      // quantization maps of 8-bit states
    std::vector<TensorId> updated_alone_;   // step_one: which have their states
    std::vector<State> of_;                 // by tensor, in the order in which they were made
    bool made_ = false;
};

}  // namespace zerosim::strategy::torch
