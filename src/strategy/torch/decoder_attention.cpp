// Attention of all families: which kernel, masks, dropout; rotations of a part of a head; latent attention.
// Sources: transformers masking_utils.py, integrations/sdpa_attention.py, models/{phi,phi3,deepseek_v3}/modeling_*.py.
#include "strategy/torch/language_model.hpp"
#include "strategy/torch/tensor_operations.hpp"

#include <algorithm>

namespace zerosim::strategy::torch {

std::int64_t LanguageModel::rotary_dim() const {
    if (model_.latent.kv_rank > 0) return model_.latent.rotary_dim;
    return static_cast<std::int64_t>(static_cast<double>(model_.head_dim) * model_.rotary_fraction);
}

/// Dropout after attention and feed-forward: transformers' classes with resid_pdrop, and the plain modules.
Value LanguageModel::dropped(const Value& x) {
    const bool has = !huggingface_ || gpt_ || model_.architecture.starts_with("phi");
    return scenario_.training.dropout > 0 && has ? dropout(tape_, x) : x;
}

/// A window hides keys once there are as many as it has [_ignore_causal_mask_sdpa: shorter sequences need no mask].
bool LanguageModel::needs_window(int layer, std::int64_t keys) const { return model_.is_windowed(layer) && keys >= model_.sliding_window; }

/// Masks of one forward: sdpa's are boolean [batch, 1, queries, keys], eager attention's of the activations' dtype; one for each kind of layer.
void LanguageModel::make_masks(DType dtype) {
    if (sequence_ == 1 || keys_ > 0 || flash_windows) return;
    const bool standard = scenario_.training.standard_attention;
    bool full = false, windowed = false;
    for (int layer = 0; layer < layers(); ++layer) (needs_window(layer, sequence_) ? windowed : full) = true;
    const std::int64_t rows = (huggingface_ ? batch_ : 1) * sequence_;
    const auto make = [&](const char* name) {
        Value mask = tape_.make(name, rows, sequence_, standard && huggingface_ ? dtype : DType::uint8, schedule::Role::constant);
        tape_.elementwise(name, {}, mask, 0);
        return mask;
    };
    if (full && standard) causal_mask_ = make("causal_mask");
    if (windowed) window_mask_ = make("window_mask");
}

Value LanguageModel::attend(int layer, const Value& q, const Value& k, const Value& v, AttentionShape s) {
    if (s.keys == 0 && keys_ > 0) s.keys = model_.is_windowed(layer) ? std::min(keys_, model_.sliding_window) : keys_;
    if (model_.latent.kv_rank > 0 && !flash_windows) s.value_dim = model_.latent.value_dim;
    const bool windowed = needs_window(layer, s.key_count());
    if (windowed) s.window = model_.sliding_window;
    const bool standard = scenario_.training.standard_attention;
    s.masked = windowed && !flash_windows && keys_ == 0;
    s.engine = flash_windows;
    if (!standard && !s.masked) return attention(tape_, q, k, v, s);
    // GQA needs no copies of keys and values without a mask only [use_gqa_in_sdpa]; eager attention repeats them always.
    const std::int64_t repeats = s.heads / s.kv_heads;
    const Value keys = repeats > 1 ? repeat_heads(tape_, k, repeats, s.head_dim) : k;
    const Value values = repeats > 1 ? repeat_heads(tape_, v, repeats, s.value_width()) : v;
    s.kv_heads = s.heads;
    if (!standard) return attention(tape_, q, keys, values, s);
    const bool drops = huggingface_ || gpt_;
    return standard_attention(tape_, q, keys, values, s,
                              {windowed ? window_mask_ : causal_mask_, model_.attention_softcap, drops ? scenario_.training.dropout : 0, !gpt_});
}

/// Of a part of each head, which has been sliced: x * cos + cat(-x2, x1) * sin, or the complex product.
Value LanguageModel::rotate_part(const Value& x) {
    const std::int64_t d = rotary_dim();
    if (!huggingface_) return to(tape_, rotate_complex(tape_, upcast(tape_, x), rope_, sequence_, d), x.dtype);
    const Value straight = mul(tape_, x, cosine_);
    Value turned;
    {
        const Value second = slice_columns(tape_, x, d / 2, d / 2);
        const Value negative = scale(tape_, "neg", second, -1);
        const Value first = slice_columns(tape_, x, 0, d / 2);
        turned = concatenate(tape_, negative, first);
    }
    turned = mul(tape_, turned, sine_);
    return add(tape_, straight, turned);
}

Value LanguageModel::rotate(const Value& x) {
    const std::int64_t d = model_.head_dim, part = rotary_dim();
    const bool whole = part == d && tape_.program.at(x.tensor).contiguous();
    if (whole) return huggingface_ ? hf_rotary(x) : rotate_complex(tape_, x, rope_, sequence_, d);
    Value heads = reshape(tape_, x, x.elements() / d, d);
    if (part == d) return reshape(tape_, rotate_part(heads), x.rows, x.columns);
    const Value plain = slice_columns(tape_, heads, part, d - part);
    const Value turned = rotate_part(slice_columns(tape_, heads, 0, part));
    heads = concatenate(tape_, turned, plain);
    return reshape(tape_, heads, x.rows, x.columns);
}

Value LanguageModel::head_norm(int layer, const char* name, const Value& x) {
    const Value heads = reshape(tape_, x, x.elements() / model_.head_dim, model_.head_dim);
    return reshape(tape_, call_norm(layer, name, heads), x.rows, x.columns);
}

Value LanguageModel::decoder_attention(int layer, const Value& hidden) {
    if (model_.latent.kv_rank > 0) return latent_attention(layer, hidden);
    Value q, k, v;
    if (model_.fused_qkv) {
        const std::int64_t a = model_.heads * model_.head_dim, b = model_.kv_heads * model_.head_dim;
        const Value joined = call_linear(layer, "qkv", hidden);
        q = slice_columns(tape_, joined, 0, a);
        k = slice_columns(tape_, joined, a, b);
        v = slice_columns(tape_, joined, a + b, b);
    } else {
        q = call_linear(layer, "q", hidden);
        if (model_.query_key_norm) q = head_norm(layer, "q_norm", q);
        k = call_linear(layer, "k", hidden);
        if (model_.query_key_norm) k = head_norm(layer, "k_norm", k);
        v = call_linear(layer, "v", hidden);
    }
    {
        Value rotated_q = rotate(q), rotated_k = rotate(k);
        q = std::move(rotated_q);
        k = std::move(rotated_k);
    }
    if (cache) cache(layer, k, v);
    const Value attended = attend(layer, q, k, v, attention_shape(false));
    return call_linear(layer, "o", attended);
}

Value LanguageModel::latent_attention(int layer, const Value& hidden) {
    const model::LatentAttention& l = model_.latent;
    const std::int64_t heads = model_.heads, rows = hidden.rows * heads;
    Value q;
    if (l.query_rank == 0) {
        q = call_linear(layer, "q", hidden);
    } else {
        q = call_linear(layer, "q_a", hidden);
        q = call_norm(layer, "q_a_norm", q);
        q = call_linear(layer, "q_b", q);
    }
    q = reshape(tape_, q, rows, model_.query_dim());
    const Values query_parts = split_columns(tape_, q, {l.plain_dim, l.rotary_dim});
    Value compressed = call_linear(layer, "kv_a", hidden);
    Value none;
    if (cache && flash_windows) cache(layer, compressed, none);
    if (keys_ > 0 && flash_windows) return absorbed_attention(layer, q, compressed);
    const Values parts = split_columns(tape_, compressed, {l.kv_rank, l.rotary_dim});
    Value expanded = call_norm(layer, "kv_a_norm", parts[0]);
    expanded = reshape(tape_, call_linear(layer, "kv_b", expanded), rows, l.plain_dim + l.value_dim);
    const Values key_parts = split_columns(tape_, expanded, {l.plain_dim, l.value_dim});
    Value key, query;
    {
        // Weights of interleaved pairs: both are copied into halves first [apply_rotary_pos_emb_interleave].
        Value rotated_q = rotate_part(contiguous(tape_, "halves", query_parts[1]));
        Value rotated_k = rotate_part(contiguous(tape_, "halves", parts[1]));
        query = concatenate(tape_, query_parts[0], rotated_q);
        key = concatenate(tape_, key_parts[0], expand_rows(tape_, rotated_k, heads));
    }
    query = reshape(tape_, query, hidden.rows, heads * model_.query_dim());
    key = reshape(tape_, key, hidden.rows, heads * model_.query_dim());
    Value value = reshape(tape_, key_parts[1], hidden.rows, heads * l.value_dim);
    if (cache && !flash_windows) cache(layer, key, value);
    AttentionShape s = attention_shape(true);
    s.head_dim = model_.query_dim();
    s.value_dim = l.value_dim;
    const Value attended = attend(layer, query, key, value, s);
    return call_linear(layer, "o", attended);
}

/// Decoding from the small vectors: the up-projections of keys and values are applied to queries and outputs instead, and all heads read
/// one key of kv_rank + rotary_dim and one value of kv_rank [DeepSeek-V2 2.1.2; vLLM attention/backends/mla/common.py].
Value LanguageModel::absorbed_attention(int layer, const Value& query, Value latent) {
    const model::LatentAttention& l = model_.latent;
    const std::int64_t heads = model_.heads, rows = batch_ * sequence_;
    Parameter& up = *find(layer, "kv_b");
    const Values parts = split_columns(tape_, query, {l.plain_dim, l.rotary_dim});
    const Value rotated = rotate_part(contiguous(tape_, "halves", parts[1]));
    const Value absorbed = batched_product(tape_, "absorbed_query", parts[0], up.value, {heads, rows * heads, l.plain_dim, l.kv_rank});
    const Value wide = reshape(tape_, concatenate(tape_, absorbed, rotated), rows, heads * (l.kv_rank + l.rotary_dim));
    AttentionShape s{batch_, sequence_, heads, 1, l.kv_rank + l.rotary_dim};
    s.value_dim = l.kv_rank;
    s.keys = keys_;
    s.engine = true;
    const Value values = slice_columns(tape_, latent, 0, l.kv_rank);
    Value attended = attention(tape_, wide, latent, values, s);
    attended = reshape(tape_, attended, rows * heads, l.kv_rank);
    attended = batched_product(tape_, "absorbed_output", attended, up.value, {heads, rows * heads, l.kv_rank, l.value_dim});
    return call_linear(layer, "o", reshape(tape_, attended, rows, heads * l.value_dim));
}

}  // namespace zerosim::strategy::torch
