// ZeRO-Inference: weights sharded over all ranks (or lying in host memory), gathered block by block in each forward, as FSDP2 does it.
// Used by the planner of inference for strategy.system fsdp2, stage 3.
// Knows no gradients.
// Source: DeepSpeed's "ZeRO-Inference: Democratizing massive model inference" (2022); torch/distributed/fsdp/_fully_shard.
#pragma once

#include "strategy/fsdp2/parameter_group.hpp"
#include "strategy/torch/language_model.hpp"

#include <memory>
#include <vector>

namespace zerosim::strategy {

/// Streams, pools and the axis of the shards.
[[nodiscard]] fsdp2::Comm inference_streams(schedule::Schedule& schedule, schedule::ProgramBuilder& program, const Scenario& scenario);

class ShardedWeights {
public:
    ShardedWeights(torch::Tape& tape, fsdp2::Comm& comm, torch::LanguageModel& model, const Scenario& scenario);
    void allocate();
    void begin_forward();
    void end_forward();
    [[nodiscard]] torch::BlockHooks hooks();

private:
    torch::Tape& tape_;
    fsdp2::Comm& comm_;
    torch::LanguageModel& model_;
    const Scenario& scenario_;
    std::vector<std::unique_ptr<fsdp2::ParameterGroup>> blocks_;
    std::unique_ptr<fsdp2::ParameterGroup> root_;
};

}  // namespace zerosim::strategy
