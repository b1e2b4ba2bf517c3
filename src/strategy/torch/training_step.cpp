#include "strategy/torch/training_step.hpp"

namespace zerosim::strategy::torch {

using schedule::Phase;
using schedule::Role;

TrainingStep::TrainingStep(Tape& tape, LanguageModel& model, const Scenario& scenario, StepHooks hooks)
    : tape_(tape), model_(model), scenario_(scenario), hooks_(std::move(hooks)) {
    loss_ = tape_.program.storage("loss", size_of(DType::fp32), tape_.options.pool, Role::scalar);
}

void TrainingStep::tag(int micro_batch, Phase phase) {
    tape_.program.tags = {.micro_batch = static_cast<std::int16_t>(micro_batch), .phase = phase};
}

void TrainingStep::make_inputs() {
    const auto& t = scenario_.training;
    ids_ = tape_.make("tokens", 1, t.micro_batch * t.sequence_length, DType::int64, Role::input);
    labels_ = tape_.make("targets", 1, t.micro_batch * t.sequence_length, DType::int64, Role::input);
}

Value TrainingStep::forward(int micro_batch, bool last) {
    tag(micro_batch, Phase::forward);
    if (!ids_.defined()) make_inputs();
    tape_.program.input(tape_.options.stream, ids_.tensor, labels_.tensor);
    hooks_.before_forward(last);
    Value logits = model_.forward(ids_, hooks_.blocks);
    hooks_.after_forward(logits);
    logits = to(tape_, logits, DType::fp32);
    Value loss = cross_entropy(tape_, logits);
    // Python rebinds `loss`: the one before is freed now.
    if (holds_loss_) tape_.program.free(loss_);
    logits = {};
    tape_.end_autocast();
    // The variable's storage is one and the same in every step, so that a steady step can be stored once.
    tape_.program.alloc(loss_);
    const TensorId kept = tape_.program.tensor("loss", loss_, DType::fp32, 1, 1);
    tape_.program.copy(tape_.options.stream, loss.tensor, kept);
    holds_loss_ = true;
    loss.buffer.reset();
    return loss;
}

void TrainingStep::backward(const Value& loss) {
    tape_.engine.backward(loss, tape_.make("ones_like", 1, 1, DType::fp32));
    hooks_.after_backward();
}

void TrainingStep::run() {
    const int micro_batches = static_cast<int>(scenario_.training.gradient_accumulation);
    for (int k = 0; k < micro_batches; ++k) {
        const Value loss = forward(k, k == micro_batches - 1);
        tag(k, Phase::backward);
        backward(loss);
    }
    tag(-1, Phase::optimizer);
    hooks_.optimize();
    hooks_.zero_gradients();
    // The training loop reads the loss (or synchronizes): the host does not run on into the next step.
    tape_.program.host_wait(tape_.options.stream, std::vector{OpId{tape_.program.size() - 1}});
}

}  // namespace zerosim::strategy::torch
