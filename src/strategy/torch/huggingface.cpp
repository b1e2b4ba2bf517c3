// The forward of transformers 5: modeling_gpt2.py, modeling_llama.py, modeling_qwen2.py, activations.py (NewGELUActivation), SDPA attention.
#include "strategy/torch/language_model.hpp"

namespace zerosim::strategy::torch {

Value LanguageModel::gelu_new(const Value& x) {
    // 0.5 * x * (1.0 + tanh(sqrt(2/pi) * (x + 0.044715 * pow(x, 3.0))))
    Value half = scale(tape_, "half", x);
    Value inner = power(tape_, x);
    inner = scale(tape_, "cubic", inner);
    inner = add(tape_, x, inner);
    inner = scale(tape_, "scaled", inner);
    inner = unary(tape_, "tanh", inner, Keeps::output, 4);
    inner = scale(tape_, "one_plus", inner, false);
    return mul(tape_, half, inner);
}

Value LanguageModel::hf_gpt(int layer, const Value& input) {
    Value residual = input;
    Value hidden = call_norm(layer, "ln1", residual);
    {
        Value joined = call_linear(layer, "qkv", hidden);
        const Values qkv = split(tape_, joined);
        joined = {};
        const Value attended = attention(tape_, qkv[0], qkv[1], qkv[2], attention_shape(true));
        hidden = call_linear(layer, "o", attended);
    }
    Value output = hidden;   // attn_output stays bound
    hidden = add(tape_, output, residual);
    residual = hidden;
    hidden = call_norm(layer, "ln2", residual);
    Value wide = call_linear(layer, "up", hidden);
    wide = gelu_new(wide);
    wide = call_linear(layer, "down", wide);
    return add(tape_, residual, wide);
}

Value LanguageModel::hf_norm(Parameter& weight, const Value& input) {
    const DType dtype = input.dtype;
    Value x = to(tape_, input, DType::fp32);
    Value variance = power(tape_, x);
    variance = row_mean(tape_, variance);
    {
        Value shifted = scale(tape_, "epsilon", variance, false);
        shifted = unary(tape_, "rsqrt", shifted, Keeps::output, 2);
        x = mul(tape_, x, shifted);
    }
    const Value narrow = to(tape_, x, dtype);
    Value flat = weight.value;
    return mul(tape_, flat, narrow);
}

void LanguageModel::rotary_tables(DType dtype) {
    if (gpt_) return;
    const std::int64_t s = sequence_, d = model_.head_dim;
    const Value positions = tape_.make("positions", s, 1, DType::int64, schedule::Role::constant);
    Value embedded;
    {
        const Value real = tape_.make("positions_float", s, 1, DType::fp32);
        const Value angles = tape_.make("angles", s, d / 2, DType::fp32);
        tape_.gemm_workspace();
        embedded = tape_.make("angles_twice", s, d, DType::fp32);
    }
    const auto table = [&](const char* name) {
        const Value raw = tape_.make(name, s, d, DType::fp32);
        return tape_.make(name, s, d, DType::fp32);   // times attention_scaling
    };
    Value cosine = table("cos"), sine = table("sin");
    cosine_ = to(tape_, cosine, dtype);
    sine_ = to(tape_, sine, dtype);
}

/// (x * cos) + (rotate_half(x) * sin)
Value LanguageModel::hf_rotary(const Value& x) {
    const Value straight = mul(tape_, x, cosine_);
    Value turned = rotate_half(tape_, x);
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
    const Value attended = attention(tape_, q, k, v, attention_shape(false));
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
    gate = unary(tape_, "silu", gate, Keeps::input, 5);
    Value up = call_linear(layer, "up", hidden);
    Value product = mul(tape_, gate, up);
    gate = {};
    up = {};
    hidden = call_linear(layer, "down", product);
    product = {};
    return add(tape_, residual, hidden);
}

}  // namespace zerosim::strategy::torch
