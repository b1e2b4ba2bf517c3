// Attention by separate products. Sources: transformers eager_attention_forward (models/llama/modeling_llama.py), nanoGPT model.py.
#include "strategy/torch/operations.hpp"
#include "strategy/torch/tensor_operations.hpp"

namespace zerosim::strategy::torch {
namespace {

/// A boolean mask is filled in, one of numbers added.
bool fills(const StandardAttention& options) { return options.mask.dtype == DType::uint8; }

/// scores + mask or masked_fill(mask == 0, -inf), which keeps its mask.
Value masked(Tape& tape, const Value& scores, const StandardAttention& options) {
    const bool filled = fills(options);
    auto node = tape.engine.node({scores.node});
    // A sum takes the wider dtype: under autocast the mask is fp32, as the embeddings are.
    const DType dtype = filled ? scores.dtype : options.mask.dtype;
    Value out = tape.make("masked_scores", scores.rows, scores.columns, dtype);
    tape.elementwise("mask", {scores.tensor, options.mask.tensor}, out);
    if (node) {
        if (filled) node->saved.push_back(tape.engine.save(options.mask));
        node->apply = [&tape, filled, from = scores.dtype](Node&, Values& g) {
            if (!filled && g[0].dtype == from) return Values{g[0]};
            Value back = tape.make("masked_gradient", g[0].rows, g[0].columns, from);
            tape.elementwise("mask_backward", {g[0].tensor}, back);
            return Values{std::move(back)};
        };
    }
    out.node = node;
    return out;
}

Value capped(Tape& tape, Value scores, double cap) {
    if (cap == 0) return scores;
    scores = scale(tape, "softcap", scores, static_cast<float>(1 / cap));
    scores = unary(tape, kernel::EagerOperation::tanh, "tanh", scores, Keeps::output, 4);
    return scale(tape, "softcap", scores, static_cast<float>(cap));
}

/// [softmax] with dtype float32, or in the scores' dtype, which autocast makes fp32; the converted scores are tensors of their own.
/// transformers casts the result to the queries' dtype, which is fp32 under autocast where positions are rotated (its tables are).
Value probabilities(Tape& tape, Value scores, DType dtype, const StandardAttention& options) {
    if (!options.fp32_softmax && !tape.options.autocast) return softmax(tape, scores);
    scores = to(tape, scores, DType::fp32);
    scores = softmax(tape, scores);
    return options.fp32_softmax || !fills(options) ? to(tape, scores, dtype) : scores;
}

}  // namespace

Value standard_attention(Tape& tape, const Value& q_in, const Value& k_in, const Value& v_in, const AttentionShape& s, const StandardAttention& options) {
    const std::int64_t groups = s.batch * s.heads, keys = s.key_count();
    // With several sequences the heads of a transposed view are no batch of matrices: matmul copies [reshape in matmul].
    const auto matrices = [&](const Value& x, const char* name) { return s.batch > 1 ? contiguous(tape, name, x) : x; };
    const Value q = matrices(q_in, "query_heads"), k = matrices(k_in, "key_heads");
    const float factor = 1;   // 1 / sqrt(d): the value does not matter to a plan
    Value scores = batched_product(tape, "scores", q, k, {groups, groups * s.sequence, s.head_dim, keys});
    scores = scale(tape, "scaled_scores", scores, factor);
    scores = capped(tape, std::move(scores), options.softcap);
    if (options.mask.defined()) scores = masked(tape, scores, options);
    scores = probabilities(tape, std::move(scores), q_in.dtype, options);
    if (options.dropout > 0) scores = dropout(tape, scores);
    const Value v = matrices(v_in, "value_heads");
    Value out = batched_product(tape, "attended", scores, v, {groups, groups * s.sequence, keys, s.value_width()});
    scores = {};
    out = contiguous(tape, "attention", out);   // transpose(1, 2).contiguous()
    return reshape(tape, out, s.batch * s.sequence, s.heads * s.value_width());
}

}  // namespace zerosim::strategy::torch
