// Losses that never hold all logits at once.
// Called by TrainingStep in the place of head, upcast and cross-entropy.
// Sources: torchtune modules/loss/cross_entropy_loss.py (LinearCrossEntropyLoss) and torch.chunk; Liger-Kernel
// ops/fused_linear_cross_entropy.py (arXiv:2410.10989).
#pragma once

#include "strategy/torch/operations.hpp"

#include <functional>

namespace zerosim::strategy::torch {

struct ChunkedLoss {
    std::int64_t real_vocabulary = 0, chunks = 1;
    bool widens = true;             // logits to fp32
    Parameter* bias = nullptr;      // of the head
};

/// The head, logits and cross-entropy of `chunks` parts of the tokens, one after another; autograd keeps what each part needs.
/// `after_head` sees the logits of the last part, whose gradient is the first of backward.
[[nodiscard]] Value chunked_loss(Tape& tape, const Value& hidden, Parameter& head, const Value& targets, const ChunkedLoss& options,
                                 const std::function<void(const Value&)>& after_head);

/// The loss inside of a model's own forward, as Qwen 1 has it (QwenLM/Qwen modeling_qwen.py, QWenLMHeadModel.forward, as transformers 4): logits
/// without each sequence's last position, in their own dtype unless autocast widens them; under autocast accelerate then keeps the model's
/// outputs in fp32 [accelerate/utils/operations.py, convert_outputs_to_fp32] until forward returns.
[[nodiscard]] Value shifted_loss(Tape& tape, const Value& logits, std::int64_t sequences);

/// One autograd function: forward computes the loss, and the gradients of `hidden` and of the head, in chunks of tokens whose logits are
/// about as large as `hidden`. `after_head` sees the loss.
[[nodiscard]] Value fused_loss(Tape& tape, const Value& hidden, Parameter& head, const std::function<void(const Value&)>& after_head);

}  // namespace zerosim::strategy::torch
