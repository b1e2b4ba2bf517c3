// SDPA's fallback, which stores all scores. Source: aten/src/ATen/native/transformers/attention.cpp (_scaled_dot_product_attention_math,
// pre_process_group_query_attention_input, _safe_softmax).
#include "strategy/torch/operations.hpp"
#include "strategy/torch/tensor_operations.hpp"

namespace zerosim::strategy::torch {
namespace {

/// ones(L, S).tril() in bool, then zeros and -inf in the scores' dtype.
Value causal_bias(Tape& tape, const AttentionShape& s, DType dtype) {
    const Buffer triangle = tape.scratch("triangle", s.sequence * s.key_count());
    Value bias = tape.make("causal_bias", s.sequence, s.key_count(), dtype);
    tape.elementwise("masked_fill", {}, bias, 0);
    return bias;
}

/// softmax, which scores are -inf, and where() of both: rows without any key become zeros. The result is kept.
Value safe_softmax(Tape& tape, const Value& scores) {
    const NodeRef node = tape.engine.node({scores.node});
    const Value plain = tape.like("softmax", scores);
    tape.elementwise("softmax", {scores.tensor}, plain, 4);
    const Buffer masked = tape.scratch("masked_scores", scores.elements());
    Value out = tape.like("safe_softmax", scores);
    tape.elementwise("where", {plain.tensor}, out);
    keep_probabilities(tape, node, scores, out);
    return out;
}

}  // namespace

Value math_attention(Tape& tape, const Value& q_in, const Value& k_in, const Value& v_in, const AttentionShape& s) {
    const std::int64_t groups = s.batch * s.heads, repeats = s.heads / s.kv_heads;
    const Value k = to(tape, k_in, DType::fp32), v = to(tape, v_in, DType::fp32);
    const Value q = scale(tape, "scaled_query", to(tape, q_in, DType::fp32));   // both operands by the fourth root of d
    const Value bias = s.keys == 0 ? causal_bias(tape, s, q.dtype) : Value{};
    const Value keys = repeats > 1 ? repeat_heads(tape, k, repeats, s.head_dim) : k;
    const Value values = repeats > 1 ? repeat_heads(tape, v, repeats, s.value_width()) : v;
    Value scores;
    {
        // With several sequences the heads of a transposed view are no batch of matrices: matmul copies [reshape in matmul].
        const Value rows = s.batch > 1 ? contiguous(tape, "query_heads", q) : q;
        scores = batched_product(tape, "scores", rows, scale(tape, "scaled_keys", keys), {groups, groups * s.sequence, s.head_dim, s.key_count()});
    }
    if (bias.defined()) tape.elementwise("mask", {scores.tensor, bias.tensor}, scores);   // add_
    scores = safe_softmax(tape, scores);
    Value out = batched_product(tape, "attended", scores, values, {groups, groups * s.sequence, s.key_count(), s.value_width()});
    out = contiguous(tape, "attention", to(tape, out, q_in.dtype));   // transpose(1, 2).contiguous()
    return reshape(tape, out, s.batch * s.sequence, s.heads * s.value_width());
}

}  // namespace zerosim::strategy::torch
