// PyTorch's operations as modules call them: outputs, saved tensors, temporaries, and those of their backward, in issue order.
// Called by the modules (modules.hpp, huggingface.hpp) and the loss.
// Sources: torch/csrc/autograd/generated/Functions.cpp (order of gradients: alphabetical by argument), native/cuda, flash-attention.
#pragma once

#include "strategy/torch/tape.hpp"

namespace zerosim::strategy::torch {

struct AttentionShape {
    std::int64_t batch = 0, sequence = 0, heads = 0, kv_heads = 0, head_dim = 0;
    std::int64_t value_dim = 0;   // of values; 0 = head_dim
    std::int64_t keys = 0;        // cached keys of a sequence (decoding); 0 = as many as queries, causal
    std::int64_t window = 0;      // keys a query sees; 0 = all
    bool masked = false;          // by a tensor: SDPA's memory-efficient kernel with a bias; else the flash kernel knows the window
    bool engine = false;          // a serving engine's own kernels, which take all shapes: never SDPA's fallback
    [[nodiscard]] std::int64_t value_width() const { return value_dim > 0 ? value_dim : head_dim; }
    [[nodiscard]] std::int64_t key_count() const { return keys > 0 ? keys : sequence; }
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
/// x * factor: a new tensor, nothing saved.
[[nodiscard]] Value scale(Tape& tape, std::string_view name, const Value& x, float factor = 1);
/// x + term, whose gradient is the output's.
[[nodiscard]] Value shift(Tape& tape, std::string_view name, const Value& x, float term);
/// An element-wise function; its backward needs the input, the output, or neither.
enum class Keeps : std::uint8_t { input, output };
[[nodiscard]] Value unary(Tape& tape, kernel::EagerOperation operation, std::string_view name, const Value& x, Keeps keeps, int flops);
/// x ** n: saves x; backward holds two temporaries beside its result.
[[nodiscard]] Value power(Tape& tape, const Value& x, float exponent);
/// mean(-1, keepdim): [rows, 1].
[[nodiscard]] Value row_mean(Tape& tape, const Value& x);

[[nodiscard]] Value linear(Tape& tape, const Value& x, Parameter& weight, Parameter* bias = nullptr);
[[nodiscard]] Value embedding(Tape& tape, const Value& indices, Parameter& table);
[[nodiscard]] Value rms_norm(Tape& tape, const Value& x, Parameter& weight, double epsilon = 1e-5);
[[nodiscard]] Value layer_norm(Tape& tape, const Value& x, Parameter& weight, Parameter& bias, double epsilon = 1e-5);
[[nodiscard]] Value attention(Tape& tape, const Value& q, const Value& k, const Value& v, const AttentionShape& shape);
/// What SDPA does where no fused kernel takes its inputs: by separate products in fp32, all scores stored.
[[nodiscard]] Value math_attention(Tape& tape, const Value& q, const Value& k, const Value& v, const AttentionShape& shape);
/// What the eager attention of modules does around its products; `mask`: a constant added to the scores.
struct StandardAttention {
    Value mask;
    double softcap = 0, dropout = 0;
    bool fp32_softmax = true;     // softmax(dtype=float32); false: nanoGPT's, in the scores' dtype, masked by masked_fill
};
/// softmax(q k^T) v with every intermediate stored.
[[nodiscard]] Value standard_attention(Tape& tape, const Value& q, const Value& k, const Value& v, const AttentionShape& shape, const StandardAttention& options);
/// Rotary embedding as a complex product: x.float() as complex times `rope` [s, d/2].
[[nodiscard]] Value rotate_complex(Tape& tape, const Value& x, const Value& rope, std::int64_t sequence, std::int64_t head_dim);
/// expand + reshape: each head `repeats` times.
[[nodiscard]] Value repeat_heads(Tape& tape, const Value& x, std::int64_t repeats, std::int64_t head_dim);
/// q, k, v of one projection: three views along columns; backward concatenates.
[[nodiscard]] Values split(Tape& tape, const Value& x);
/// cat((-x2, x1)) of x's halves.
[[nodiscard]] Value rotate_half(Tape& tape, const Value& x, std::int64_t head_dim);

/// Fused by torch.compile. silu(gate) * up: saves both factors, as silu(gate) is recomputed in the backward kernel.
[[nodiscard]] Value silu_mul(Tape& tape, const Value& gate, const Value& up);
/// x * cos + rotate_half(x) * sin in one kernel: saves nothing of its own.
[[nodiscard]] Value rotate_fused(Tape& tape, const Value& x, const Value& cosine);

/// F.dropout in training: one fused kernel; backward needs the mask, a byte an element.
[[nodiscard]] Value dropout(Tape& tape, const Value& x);

/// Mean cross-entropy of fp32 logits: log-softmax and negative log-likelihood. Without `targets` it can be planned, not run.
[[nodiscard]] Value cross_entropy(Tape& tape, const Value& logits, const Value& targets = {}, std::int64_t real_vocabulary = 0);
/// The same in one kernel each way over 2-byte logits; `in_place`: their gradients overwrite them. Planned, not run.
[[nodiscard]] Value fused_cross_entropy(Tape& tape, const Value& logits, const Value& targets, std::int64_t real_vocabulary, bool in_place);

}  // namespace zerosim::strategy::torch
