// ZeRO stages 1 and 2 as a training step: hooks of backward, the epilogue, the optimizer on this rank's partition, the parameters' all-gather.
// Built by plan_deepspeed, once for every role of ranks.
// Source: DeepSpeed runtime/zero/stage_1_and_2.py, independent_gradient_partition_epilogue and step.
#pragma once

#include "strategy/deepspeed/gradient_buckets.hpp"
#include "strategy/torch/training_step.hpp"

#include <memory>

namespace zerosim::strategy::deepspeed {

class PartitionedGradients {
public:
    PartitionedGradients(Engine& engine, torch::LanguageModel& model);
    void initialize();
    [[nodiscard]] torch::StepHooks hooks();

private:
    void begin_micro_batch(bool last);
    void after_backward();
    void epilogue();
    void collect(std::size_t group);
    void pad(std::size_t group);
    void step();
    void step_on_host(std::size_t group);
    void step_on_device(std::size_t group);
    void make_moments(FlatGroup& group);
    [[nodiscard]] Value flatten(std::size_t group);
    void norms();
    void gather_parameters();
    void drop(std::vector<Value>& gradients);

    Engine& engine_;
    FlatGroups groups_;
    std::unique_ptr<GradientBuckets> buckets_;
    const bool stage1_;
    int micro_batch_ = -1;
    bool boundary_ = true;
    std::vector<std::vector<Value>> gradients_; // by group: of the parameters that touch this rank's partition, whole
    std::vector<Value> padding_;                // by group: zeros behind the last parameter
};

} // namespace zerosim::strategy::deepspeed
