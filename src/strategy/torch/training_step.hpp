// One optimizer step of an eager training loop: micro-batches of forward, loss and backward, the optimizer, zero_grad.
// Called by the planners ddp and fsdp2 for the program's first and steady segments.
// What wraps the model (sharding, buckets) comes in as hooks.
#pragma once

#include "strategy/torch/language_model.hpp"

namespace zerosim::strategy::torch {

struct StepHooks {
    std::function<void(bool last)> before_forward = [](bool) {};   // of the whole model; last micro-batch of the step?
    BlockHooks blocks;
    std::function<void(const Value& logits)> after_forward = [](const Value&) {};
    std::function<void()> after_backward = [] {};
    std::function<void()> optimize = [] {};
    std::function<void()> zero_gradients = [] {};
};

class TrainingStep {
public:
    TrainingStep(Tape& tape, LanguageModel& model, const Scenario& scenario, StepHooks hooks);
    void run();

private:
    [[nodiscard]] Value forward(int micro_batch, bool last);
    [[nodiscard]] Value chunked();
    void backward(const Value& loss);
    void tag(int micro_batch, schedule::Phase phase);
    void make_inputs();

    Tape& tape_;
    LanguageModel& model_;
    const Scenario& scenario_;
    StepHooks hooks_;
    Value ids_, labels_;
    StorageId loss_;                 // the loss that Python's variable holds between steps
    bool holds_loss_ = false;
};

}  // namespace zerosim::strategy::torch
