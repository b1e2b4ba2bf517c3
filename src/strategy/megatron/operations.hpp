// Megatron-core's and Transformer Engine's fused operations on the eager tape: linear layers that add into main gradients, fused
// activations, rotary embedding, and the vocabulary-parallel cross-entropy.
// Called by GptModel.
// Norms, attention, embedding, dropout are PyTorch's: strategy/torch/operations.hpp.
// Sources: transformer_engine/pytorch/module/{linear,layernorm_linear}.py, megatron/core/{fusions,tensor_parallel}.
#pragma once

#include "strategy/megatron/buffers.hpp"
#include "strategy/torch/operations.hpp"

namespace zerosim::strategy::megatron {

/// What linear layers share.
struct LinearContext {
    Tape& tape;
    Buffers& buffers;
    bool fuse_gradient_accumulation = true;
    bool fp8 = false;
};

/// x W^T + b. Backward: the input's gradient, then the weight's, added into its main gradient; autograd gets a placeholder.
/// `zero_placeholder`: the weight is used twice (tied embedding), so its placeholder is zeros of its own [zero_out_wgrad].
[[nodiscard]] Value linear(const LinearContext& context, const Value& x, Parameter& weight, Parameter* bias, bool zero_placeholder = false);

/// gelu(x): saves x [bias_gelu_impl].
[[nodiscard]] Value gelu(Tape& tape, const Value& x);
/// silu(left half) * right half: saves x [SwiGLUFunction].
[[nodiscard]] Value swiglu(Tape& tape, const Value& x);
/// x[T, a + b + c] -> three views along columns; backward writes one gradient.
[[nodiscard]] torch::Values split_columns(Tape& tape, const Value& x, const std::vector<std::int64_t>& widths);
/// Rotated heads in a new tensor; keeps the angles alone [fused_apply_rotary_pos_emb].
[[nodiscard]] Value rotate(Tape& tape, const Value& x, const Value& angles, std::int64_t head_dim);

/// softmax(q k^T) v by separate products: the probabilities are kept, with dropout also its mask and result (5 bytes a score).
[[nodiscard]] Value unfused_attention(Tape& tape, const Value& q, const Value& k, const Value& v, const torch::AttentionShape& shape, bool drops);

/// VocabParallelCrossEntropy: the fp32 copy of the logits becomes the softmax in place, is saved, and becomes its gradient.
[[nodiscard]] Value vocabulary_parallel_cross_entropy(Tape& tape, const Value& logits, const Value& targets);
/// The same with the kernels that hosts have: a log-softmax in place, and in backward one more fp32 tensor of the logits.
[[nodiscard]] Value host_cross_entropy(Tape& tape, const Value& logits, const Value& targets, std::int64_t real_vocabulary);

}  // namespace zerosim::strategy::megatron
