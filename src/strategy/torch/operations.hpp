// PyTorch's operations as modules call them: outputs, saved tensors, temporaries, and those of their backward, in issue order.
// Called by the modules (modules.hpp, huggingface.hpp) and the loss.
// Sources: torch/csrc/autograd/generated/Functions.cpp (order of gradients: alphabetical by argument), native/cuda, flash-attention.
#pragma once

#include "strategy/torch/tape.hpp"

namespace zerosim::strategy::torch {

struct AttentionShape {
    std::int64_t batch = 0, sequence = 0, heads = 0, kv_heads = 0, head_dim = 0;
};

/// A plain a + b without autograd (accumulation out of place).
[[nodiscard]] Value sum_of(Tape& tape, const Value& a, const Value& b);
/// `.to(dtype)`: the value itself if it has that dtype.
[[nodiscard]] Value to(Tape& tape, const Value& x, DType dtype);
/// a + b; the smaller operand is broadcast; dtypes are promoted. `broadcast`: b has fewer dimensions even if as many elements, so
/// its gradient is a sum, a tensor of its own.
[[nodiscard]] Value add(Tape& tape, const Value& a, const Value& b, bool broadcast = false);
/// a * b, likewise.
[[nodiscard]] Value mul(Tape& tape, const Value& a, const Value& b);
/// x * number or x + number: a new tensor, nothing saved.
[[nodiscard]] Value scale(Tape& tape, std::string_view name, const Value& x, bool changes_gradient = true);
/// An element-wise function; its backward needs the input, the output, or neither.
enum class Keeps : std::uint8_t { input, output };
[[nodiscard]] Value unary(Tape& tape, std::string_view name, const Value& x, Keeps keeps, int flops);
/// x ** n: saves x; backward holds two temporaries beside its result.
[[nodiscard]] Value power(Tape& tape, const Value& x);
/// mean(-1, keepdim): [rows, 1].
[[nodiscard]] Value row_mean(Tape& tape, const Value& x);

[[nodiscard]] Value linear(Tape& tape, const Value& x, Parameter& weight, Parameter* bias = nullptr);
[[nodiscard]] Value embedding(Tape& tape, const Value& indices, Parameter& table);
[[nodiscard]] Value rms_norm(Tape& tape, const Value& x, Parameter& weight);
[[nodiscard]] Value layer_norm(Tape& tape, const Value& x, Parameter& weight, Parameter& bias);
[[nodiscard]] Value attention(Tape& tape, const Value& q, const Value& k, const Value& v, const AttentionShape& shape);
/// Rotary embedding as a complex product: x.float() as complex times `rope` [s, d/2].
[[nodiscard]] Value rotate_complex(Tape& tape, const Value& x, const Value& rope, std::int64_t sequence, std::int64_t head_dim);
/// expand + reshape: each head `repeats` times.
[[nodiscard]] Value repeat_heads(Tape& tape, const Value& x, std::int64_t repeats);
/// q, k, v of one projection: three views along columns; backward concatenates.
[[nodiscard]] Values split(Tape& tape, const Value& x);
/// cat((-x2, x1)) of x's halves.
[[nodiscard]] Value rotate_half(Tape& tape, const Value& x);

/// Mean cross-entropy of fp32 logits: log-softmax and negative log-likelihood.
[[nodiscard]] Value cross_entropy(Tape& tape, const Value& logits);

}  // namespace zerosim::strategy::torch
