// torch.optim's step: states made at the first step, temporaries of its implementation, clipping before it.
// Called by the planners ddp and fsdp2 with the tensors that this rank updates.
// Knows no sharding: a shard is a tensor like any other.
#pragma once

#include "strategy/scenario.hpp"
#include "strategy/torch/tape.hpp"

#include <vector>

namespace zerosim::strategy::torch {

/// A tensor to update: a parameter, or this rank's shard of one.
struct Updated {
    std::string_view name;
    int layer = -1;
    std::int64_t elements = 0;
    DType dtype = DType::fp32;
    TensorId parameter;
};

class OptimizerStep {
public:
    OptimizerStep(Tape& tape, const Scenario& scenario) : tape_(tape), scenario_(scenario) {}
    /// clip_grad_norm_ over gradients of these sizes.
    void clip(const std::vector<Updated>& gradients);
    void step(const std::vector<Updated>& tensors);
    /// Shards that lie in host memory: the states lie there too, and the CPU updates them.
    void step_on_host(const std::vector<Updated>& tensors, PoolId pool);

private:
    void make_states(const std::vector<Updated>& tensors);
    Tape& tape_;
    const Scenario& scenario_;
    std::vector<Value> states_;
    std::vector<Buffer> host_states_;
    bool made_ = false;
};

}  // namespace zerosim::strategy::torch
