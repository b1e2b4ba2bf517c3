// The forward of the `torch` implementation, and what both implementations share.
#include "strategy/torch/language_model.hpp"

#include "base/error.hpp"

#include <cmath>

namespace zerosim::strategy::torch {

AttentionShape LanguageModel::attention_shape(bool repeated) const {
    return {batch_, sequence_, model_.heads, repeated ? model_.heads : model_.kv_heads, model_.head_dim};
}

Value LanguageModel::call_norm(int layer, const char* name, const Value& x) {
    Parameter* const weight = find(layer, name);
    const bool plain = name == std::string_view("q_a_norm") || name == std::string_view("kv_a_norm");
    if (model_.norm == model::Norm::rms_plus_one && !plain) return gemma_norm(*weight, x);
    if (!gpt_ && model_.norm != model::Norm::layer) return huggingface_ ? hf_norm(*weight, x) : rms_norm(tape_, x, *weight, model_.norm_epsilon);
    return layer_norm(tape_, x, *weight, *weight->bias, model_.norm_epsilon);
}

/// A linear layer, with its adapters: lin(x) + B(A(x)) * scale.
Value LanguageModel::call_linear(int layer, const char* name, const Value& x) {
    Parameter* const weight = find(layer, name);
    check(weight != nullptr, "a module without weight");
    Value base = linear(tape_, x, *weight, weight->bias);
    Parameter* const a = weight->adapter_a;
    if (a == nullptr) return base;
    // PEFT's lora/layer.py: the input in the adapter's dtype, dropout, A, B, scaling; the sum in the layer's dtype.
    Value low;
    {
        const Value own = scenario_.training.lora_precision ? to(tape_, x, a->value.dtype) : x;
        low = linear(tape_, scenario_.training.lora_dropout > 0 ? dropout(tape_, own) : own, *a);
    }
    Value high = linear(tape_, low, *weight->adapter_b);
    low = {};
    Value scaled = scale(tape_, "lora_scale", high);
    high = {};
    const DType dtype = base.dtype;
    return to(tape_, add(tape_, base, scaled), dtype);
}

void LanguageModel::make_buffers() {
    const std::int64_t d = rotary_dim(), positions = model_.positions;
    if (gpt_) return;
    if (huggingface_) {
        // LlamaRotaryEmbedding: inv_freq and original_inv_freq.
        for (const char* name : {"inv_freq", "original_inv_freq"})
            buffers_.push_back(tape_.make(name, d / 2, 1, DType::fp32, schedule::Role::constant));
        return;
    }
    // polar(ones, outer(arange(positions).float(), frequencies)): complex64.
    const Value frequencies = tape_.make("frequencies", d / 2, 1, DType::fp32);
    const Value ones = tape_.make("ones", positions, d / 2, DType::fp32);
    Value angles;
    {
        Value index = tape_.make("arange", positions, 1, DType::int64);
        const Value real = tape_.make("arange_float", positions, 1, DType::fp32);
        index = {};
        angles = tape_.make("angles", positions, d / 2, DType::fp32);
    }
    rope_ = tape_.make("rope", positions, d, DType::fp32, schedule::Role::constant);
    kernel::Attributes a;
    a.head_dim = static_cast<std::int32_t>(d);
    a.rotary_base = static_cast<float>(model_.rotary_base);
    tape_.elementwise(kernel::EagerOperation::rotary_table, "rope", {}, rope_, 0, a);
}

Value LanguageModel::embed(const Value& ids) {
    Value tokens = embedding(tape_, ids, *token_table_);
    if (model_.scaled_embedding) tokens = scale(tape_, "scaled_embedding", tokens, std::sqrt(static_cast<float>(model_.hidden)));
    if (!gpt_) return tokens;
    const Value positions = tape_.make("positions", sequence_, 1, DType::int64, schedule::Role::constant);
    tape_.elementwise(kernel::EagerOperation::sequence_numbers, "positions", {}, positions, 0);
    Value places = embedding(tape_, positions, *position_table_);
    if (huggingface_) {
        input_embeddings_ = tokens;
        position_embeddings_ = places;
    }
    return add(tape_, tokens, places, !huggingface_);   // transformers' positions have a batch dimension of their own
}

Value LanguageModel::run_block(int layer, const Value& x) {
    if (decoder_) return decoder(layer, x);
    if (huggingface_) return gpt_ ? hf_gpt(layer, x) : hf_llama(layer, x);
    return gpt_ ? torch_gpt(layer, x) : torch_llama(layer, x);
}

Value LanguageModel::forward(const Value& ids, const BlockHooks& hooks) {
    return logits(hidden(ids, hooks));
}

Value LanguageModel::logits(Value normal) {
    Value logits = linear(tape_, normal, *head_, head_bias_);
    normal = {};
    if (model_.final_softcap == 0) return logits;
    logits = scale(tape_, "softcap", logits, static_cast<float>(1 / model_.final_softcap));
    logits = unary(tape_, kernel::EagerOperation::tanh, "tanh", logits, Keeps::output, 4);
    return scale(tape_, "softcap", logits, static_cast<float>(model_.final_softcap));
}

Value LanguageModel::hidden(const Value& ids, const BlockHooks& hooks) {
    Value x = embed(ids);
    make_masks(x.dtype);
    if (!huggingface_ || gpt_ || model_.architecture == "phi") x = dropped(x);
    if (huggingface_) {
        if (!gpt_) input_embeddings_ = x;
        rotary_tables(x.dtype);
    }
    for (int layer = 0; layer < layers(); ++layer) {
        tape_.program.tags.layer = static_cast<std::int16_t>(layer);
        Value output;
        {
            const Value input = hooks.before(layer, x);
            // transformers passes cos and sin to each block: a checkpoint keeps them for its recomputation.
            const auto call = [this, layer, cosine = cosine_, sine = sine_, masks = Values{causal_mask_, window_mask_}](const Value& in) {
                const RotaryScope scope(*this, cosine, sine, masks);
                return run_block(layer, in);
            };
            output = scenario_.training.recompute.applies(layer) ? tape_.engine.checkpoint(input, call) : call(input);
        }
        hooks.after(layer, output);
        x = std::move(output);
    }
    tape_.program.tags.layer = -1;
    Value normal = call_norm(-1, "norm", x);
    x = {};
    input_embeddings_ = position_embeddings_ = cosine_ = sine_ = causal_mask_ = window_mask_ = {};
    return normal;
}

Value LanguageModel::torch_gpt(int layer, const Value& input) {
    Value x = input;
    Value joined;
    {
        const Value normal = call_norm(layer, "ln1", x);
        joined = call_linear(layer, "qkv", normal);
    }
    Values qkv = split(tape_, joined);
    joined = {};
    if (cache) cache(layer, qkv[1], qkv[2]);
    const Value attended = attend(layer, qkv[0], qkv[1], qkv[2], attention_shape(true));
    {
        const Value projected = dropped(call_linear(layer, "o", attended));
        x = add(tape_, x, projected);
    }
    Value wide = call_norm(layer, "ln2", x);
    wide = call_linear(layer, "up", wide);
    wide = unary(tape_, kernel::EagerOperation::gelu, "gelu", wide, Keeps::input, 8);
    wide = dropped(call_linear(layer, "down", wide));
    return add(tape_, x, wide);
}

/// x + wo(attention(...)) and, because Python's locals live as long as the block, everything it named.
Value LanguageModel::torch_llama(int layer, const Value& input) {
    Value x = input;
    Value y = call_norm(layer, "ln1", x);
    Value q = call_linear(layer, "q", y), k = call_linear(layer, "k", y), v = call_linear(layer, "v", y);
    {
        Value rotated_q = rotate_complex(tape_, q, rope_, sequence_, model_.head_dim);
        Value rotated_k = rotate_complex(tape_, k, rope_, sequence_, model_.head_dim);
        q = std::move(rotated_q);
        k = std::move(rotated_k);
    }
    if (cache) cache(layer, k, v);
    if (const std::int64_t repeats = model_.heads / model_.kv_heads; repeats > 1) {
        k = repeat_heads(tape_, k, repeats, model_.head_dim);
        v = repeat_heads(tape_, v, repeats, model_.head_dim);
    }
    y = attend(layer, q, k, v, attention_shape(true));
    {
        const Value projected = dropped(call_linear(layer, "o", y));
        x = add(tape_, x, projected);
    }
    y = call_norm(layer, "ln2", x);
    Value gate = call_linear(layer, "gate", y);
    if (!tape_.options.compiled) gate = unary(tape_, kernel::EagerOperation::silu, "silu", gate, Keeps::input, 5);
    Value up = call_linear(layer, "up", y);
    Value product = tape_.options.compiled ? silu_mul(tape_, gate, up) : mul(tape_, gate, up);
    gate = {};
    up = {};
    product = dropped(call_linear(layer, "down", product));
    return add(tape_, x, product);
}

}  // namespace zerosim::strategy::torch
