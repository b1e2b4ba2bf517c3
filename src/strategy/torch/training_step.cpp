#include "strategy/torch/training_step.hpp"

#include "strategy/torch/chunked_loss.hpp"

namespace zerosim::strategy::torch {

using schedule::Phase;
using schedule::Role;

TrainingStep::TrainingStep(Tape& tape, LanguageModel& model, const Scenario& scenario, StepHooks hooks)
    : tape_(tape), model_(model), scenario_(scenario), hooks_(std::move(hooks)) {
    tape_.options.library = scenario_.library;
    tape_.options.threads = scenario_.compute_threads;
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
    Value logits, loss;
    if (scenario_.training.fused_loss || scenario_.training.loss_chunks > 1) {
        loss = chunked();
    } else {
        logits = model_.forward(ids_, hooks_.blocks);
        hooks_.after_forward(logits);
        if (scenario_.model.architecture == "qwen") {
            loss = shifted_loss(tape_, logits, scenario_.training.micro_batch);
        } else if (scenario_.cluster.software.fused_cross_entropy && size_of(logits.dtype) == 2) {
            loss = fused_cross_entropy(tape_, logits, labels_, scenario_.model.real_vocabulary, false);
        } else {
            if (!scenario_.cluster.software.loss_in_compute_dtype) logits = to(tape_, logits, DType::fp32);
            loss = cross_entropy(tape_, logits, labels_, scenario_.model.real_vocabulary);
        }
    }
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

Value TrainingStep::chunked() {
    const auto& t = scenario_.training;
    const Value hidden = model_.hidden(ids_, hooks_.blocks);
    if (t.fused_loss) return fused_loss(tape_, hidden, model_.head(), hooks_.after_forward);
    const ChunkedLoss options{scenario_.model.real_vocabulary, t.loss_chunks, !scenario_.cluster.software.loss_in_compute_dtype, model_.head_bias()};
    return chunked_loss(tape_, hidden, model_.head(), labels_, options, hooks_.after_forward);
}

void TrainingStep::backward(const Value& loss) {
    Value ones = tape_.make("ones_like", 1, 1, DType::fp32);
    // Scripts divide each micro-batch's loss by their number; here its gradient begins with that factor.
    tape_.fill(ones, 1.0 / static_cast<double>(scenario_.training.gradient_accumulation));
    tape_.engine.backward(loss, std::move(ones));
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
    std::vector<OpId> last;
    for (std::size_t stream = 0; stream < tape_.program.streams(); ++stream) last.push_back(tape_.program.last(StreamId{stream}));
    tape_.program.host_wait(tape_.options.stream, last);
}

}  // namespace zerosim::strategy::torch
