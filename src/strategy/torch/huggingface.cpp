// The forward of transformers 5: modeling_gpt2.py, modeling_llama.py, modeling_qwen2.py, activations.py (NewGELUActivation), SDPA attention.
#include "strategy/torch/language_model.hpp"

namespace zerosim::strategy::torch {

Value LanguageModel::gelu_new(const Value& x) {
    if (tape_.options.compiled) return unary(tape_, kernel::EagerOperation::gelu, "gelu", x, Keeps::input, 8);
    // 0.5 * x * (1.0 + tanh(sqrt(2/pi) * (x + 0.044715 * pow(x, 3.0))))
    Value half = scale(tape_, "half", x, 0.5F);
    Value inner = power(tape_, x, 3);
    inner = scale(tape_, "cubic", inner, 0.044715F);
    inner = add(tape_, x, inner);
    inner = scale(tape_, "scaled", inner, 0.797884561F);
    inner = unary(tape_, kernel::EagerOperation::tanh, "tanh", inner, Keeps::output, 4);
    inner = shift(tape_, "one_plus", inner, 1);
    return mul(tape_, half, inner);
}

Value LanguageModel::hf_gpt(int layer, const Value& input) {
    Value residual = input;
    Value hidden = call_norm(layer, "ln1", residual), output;
    {
        Value joined = call_linear(layer, "qkv", hidden);
        Values qkv = split(tape_, joined);
        joined = {};
        if (cache) cache(layer, qkv[1], qkv[2]);
        const Value attended = attend(layer, qkv[0], qkv[1], qkv[2], attention_shape(true));
        output = dropped(call_linear(layer, "o", attended));   // attn_output: beside it hidden_states stays bound until the sum
    }
    hidden = add(tape_, output, residual);
    residual = hidden;
    hidden = call_norm(layer, "ln2", residual);
    Value wide = call_linear(layer, "up", hidden);
    wide = gelu_new(wide);
    wide = dropped(call_linear(layer, "down", wide));
    return add(tape_, residual, wide);
}

Value LanguageModel::hf_norm(Parameter& weight, const Value& given) {
    if (tape_.options.compiled) return rms_norm(tape_, given, weight, model_.norm_epsilon);
    const ModuleCall module{&weight};
    Value room;
    const Value& input = tape_.enter(module, given, room);
    const DType dtype = input.dtype;
    Value x = to(tape_, input, DType::fp32);
    Value variance = power(tape_, x, 2);
    variance = row_mean(tape_, variance);
    {
        Value shifted = shift(tape_, "epsilon", variance, static_cast<float>(model_.norm_epsilon));
        shifted = unary(tape_, kernel::EagerOperation::rsqrt, "rsqrt", shifted, Keeps::output, 2);
        x = mul(tape_, x, shifted);
    }
    const Value narrow = to(tape_, x, dtype);
    Value flat = weight.value;
    std::swap(flat.rows, flat.columns);   // one row for all
    return tape_.leave(module, mul(tape_, flat, narrow));
}

void LanguageModel::rotary_tables(DType dtype) {
    if (gpt_) return;
    const std::int64_t s = sequence_, d = rotary_dim();
    const Value positions = tape_.make("positions", s, 1, DType::int64, schedule::Role::constant);
    Value embedded;
    {
        const Value real = tape_.make("positions_float", s, 1, DType::fp32);
        const Value angles = tape_.make("angles", s, d / 2, DType::fp32);
        tape_.gemm_workspace();
        embedded = tape_.make("angles_twice", s, d, DType::fp32);
        kernel::Attributes a;
        a.head_dim = static_cast<std::int32_t>(d);
        a.rotary_base = static_cast<float>(model_.rotary_base);
        tape_.elementwise(kernel::EagerOperation::rotary_angles, "angles_twice", {}, embedded, 0, a);
    }
    const auto table = [&](const char* name, kernel::EagerOperation function) {
        const Value raw = tape_.make(name, s, d, DType::fp32);
        tape_.elementwise(function, name, {embedded.tensor}, raw);
        Value scaled = tape_.make(name, s, d, DType::fp32);   // times attention_scaling, 1 without scaled positions
        kernel::Attributes a;
        a.value = 1;
        tape_.elementwise(kernel::EagerOperation::scale, name, {raw.tensor}, scaled, 1, a);
        return scaled;
    };
    Value cosine = table("cos", kernel::EagerOperation::cosine), sine = table("sin", kernel::EagerOperation::sine);
    cosine_ = to(tape_, cosine, dtype);
    sine_ = to(tape_, sine, dtype);
}

/// (x * cos) + (rotate_half(x) * sin)
Value LanguageModel::hf_rotary(const Value& x) {
    if (tape_.options.compiled) return rotate_fused(tape_, x, cosine_);
    const Value straight = mul(tape_, x, cosine_);
    Value turned = rotate_half(tape_, x, model_.head_dim);
    turned = mul(tape_, turned, sine_);
    return add(tape_, straight, turned);
}

Value LanguageModel::hf_llama_attention(int layer, const Value& hidden) {
    Value q = call_linear(layer, "q", hidden), k = call_linear(layer, "k", hidden), v = call_linear(layer, "v", hidden);
    {
        Value rotated_q = hf_rotary(q), rotated_k = hf_rotary(k);
        q = std::move(rotated_q);
        k = std::move(rotated_k);
    }
    if (cache) cache(layer, k, v);
    const Value attended = attend(layer, q, k, v, attention_shape(false));
    return call_linear(layer, "o", attended);
}

Value LanguageModel::hf_llama(int layer, const Value& input) {
    Value residual = input;
    Value hidden = call_norm(layer, "ln1", residual);
    hidden = hf_llama_attention(layer, hidden);
    hidden = add(tape_, residual, hidden);
    residual = hidden;
    hidden = call_norm(layer, "ln2", hidden);
    Value gate = call_linear(layer, "gate", hidden);
    if (!tape_.options.compiled) gate = unary(tape_, kernel::EagerOperation::silu, "silu", gate, Keeps::input, 5);
    Value up = call_linear(layer, "up", hidden);
    Value product = tape_.options.compiled ? silu_mul(tape_, gate, up) : mul(tape_, gate, up);
    gate = {};
    up = {};
    hidden = call_linear(layer, "down", product);
    product = {};
    return add(tape_, residual, hidden);
}

}  // namespace zerosim::strategy::torch
