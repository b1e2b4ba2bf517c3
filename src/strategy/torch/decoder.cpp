// Blocks of families beyond gpt2 and llama. Sources: transformers 5, models/{qwen3,gemma,gemma2,gemma3,phi,phi3,mixtral,qwen2_moe,
// deepseek_v3}/modeling_*.py. `torch`: the same modules with fused norms and complex rotations.
#include "strategy/torch/experts.hpp"
#include "strategy/torch/language_model.hpp"
#include "strategy/torch/tensor_operations.hpp"

#include "base/error.hpp"

namespace zerosim::strategy::torch {

using kernel::EagerOperation;

void LanguageModel::build_decoder_attention(int layer) {
    const std::int64_t h = model_.hidden, a = model_.heads * model_.head_dim, k = model_.kv_heads * model_.head_dim;
    if (model_.latent.kv_rank > 0) {
        const model::LatentAttention& l = model_.latent;
        if (l.query_rank == 0) {
            add_linear("q", layer, model_.heads * model_.query_dim(), h, false);
        } else {
            add_linear("q_a", layer, l.query_rank, h, false);
            declare("q_a_norm", layer, l.query_rank, 1);
            add_linear("q_b", layer, model_.heads * model_.query_dim(), l.query_rank, false);
        }
        add_linear("kv_a", layer, l.kv_rank + l.rotary_dim, h, false);
        declare("kv_a_norm", layer, l.kv_rank, 1);
        add_linear("kv_b", layer, model_.heads * (l.plain_dim + l.value_dim), l.kv_rank, false);
    } else if (!model_.fused_qkv) {
        add_linear("q", layer, a, h, model_.qkv_bias);
        add_linear("k", layer, k, h, model_.qkv_bias);
        add_linear("v", layer, k, h, model_.qkv_bias);
    }
    add_linear("o", layer, h, model_.heads * model_.value_dim(), model_.output_bias);
    if (model_.fused_qkv) add_linear("qkv", layer, a + 2 * k, h, model_.qkv_bias);
    if (!model_.query_key_norm) return;
    declare("q_norm", layer, model_.head_dim, 1);
    declare("k_norm", layer, model_.head_dim, 1);
}

void LanguageModel::build_experts(int layer) {
    const model::Experts& e = model_.experts;
    add_linear("router", layer, e.count, model_.hidden, false);
    // [experts, 2 f, h] and [experts, h, f]. With more ranks than experts torchtitan shards the second dimension
    // (_experts_shard_placement_fn); transformers' modules are split along the experts whatever that pads.
    const std::int64_t h = model_.hidden, f = e.feed_forward;
    const std::int64_t ranks = scenario_.strategy.shard_group == 0 ? scenario_.ranks : scenario_.strategy.shard_group;
    const bool second = !huggingface_ && ranks > e.count;
    declare("expert_gate_up", layer, second ? 2 * f : e.count, second ? e.count * h : 2 * f * h);
    declare("expert_down", layer, second ? h : e.count, second ? e.count * f : f * h);
    if (e.shared == 0) return;
    add_linear("shared_gate", layer, e.shared, model_.hidden, false);
    add_linear("shared_up", layer, e.shared, model_.hidden, false);
    add_linear("shared_down", layer, model_.hidden, e.shared, false);
    if (e.shared_gate) add_linear("shared_router", layer, 1, model_.hidden, false);
}

void LanguageModel::build_feed_forward(int layer) {
    if (model_.is_sparse(layer)) return build_experts(layer);
    const std::int64_t h = model_.hidden, f = model_.feed_forward;
    if (model_.fused_gate_up) {
        add_linear("gate_up", layer, 2 * f, h, false);
    } else {
        if (model_.gated) add_linear("gate", layer, f, h, model_.mlp_bias);
        add_linear("up", layer, f, h, model_.mlp_bias);
    }
    add_linear("down", layer, h, f, model_.mlp_bias);
}

void LanguageModel::build_decoder(int layer) {
    const auto norms = [&](std::initializer_list<const char*> names) {
        for (const char* name : names) add_norm(name, layer);
    };
    if (!huggingface_) norms({"ln1"});
    build_decoder_attention(layer);
    if (!huggingface_ && model_.output_norms) norms({"attention_norm_out"});
    if (!huggingface_ && !model_.parallel) norms({"ln2"});
    build_feed_forward(layer);
    if (!huggingface_ && model_.output_norms) norms({"mlp_norm_out"});
    if (!huggingface_) return;
    norms({"ln1"});
    if (model_.output_norms) norms({"attention_norm_out"});
    if (!model_.parallel) norms({"ln2"});
    if (model_.output_norms) norms({"mlp_norm_out"});
}

/// x.float() * rsqrt(...) * (1 + weight.float()), then the input's dtype.
Value LanguageModel::gemma_norm(Parameter& weight, const Value& given) {
    if (!huggingface_ || tape_.options.compiled) return rms_norm(tape_, given, weight, model_.norm_epsilon);
    const ModuleCall module{&weight};
    Value room;
    const Value& input = tape_.enter(module, given, room);
    Value x = to(tape_, input, DType::fp32);
    {
        Value variance = power(tape_, x, 2);
        variance = row_mean(tape_, variance);
        variance = shift(tape_, "epsilon", variance, static_cast<float>(model_.norm_epsilon));
        variance = unary(tape_, EagerOperation::rsqrt, "rsqrt", variance, Keeps::output, 2);
        x = mul(tape_, x, variance);
    }
    Value factor = to(tape_, weight.value, DType::fp32);
    factor = shift(tape_, "one_plus", factor, 1);
    std::swap(factor.rows, factor.columns);   // one row for all
    x = mul(tape_, x, factor);
    return tape_.leave(module, to(tape_, x, input.dtype));
}

Value LanguageModel::activation(const Value& x) {
    switch (model_.activation) {
        case model::Activation::silu: return unary(tape_, EagerOperation::silu, "silu", x, Keeps::input, 5);
        case model::Activation::gelu_new:
            if (huggingface_) return gelu_new(x);
            [[fallthrough]];
        case model::Activation::gelu: return unary(tape_, EagerOperation::gelu, "gelu", x, Keeps::input, 8);
    }
    throw BugError("an unknown activation");
}

Value LanguageModel::gated(int layer, const char* gate_name, const char* up_name, const char* down_name, const Value& x) {
    const bool fused = tape_.options.compiled && model_.activation == model::Activation::silu;
    Value gate = call_linear(layer, gate_name, x);
    if (!fused) gate = activation(gate);
    Value up = call_linear(layer, up_name, x);
    const Value product = fused ? silu_mul(tape_, gate, up) : mul(tape_, gate, up);
    gate = {};
    up = {};
    return call_linear(layer, down_name, product);
}

Value LanguageModel::feed_forward(int layer, const Value& x) {
    if (model_.is_sparse(layer)) return expert_layer(layer, x);
    if (model_.fused_gate_up) {
        const Value joined = call_linear(layer, "gate_up", x);
        const Values halves = split_columns(tape_, joined, {model_.feed_forward, model_.feed_forward});
        const Value product = mul(tape_, halves[1], activation(halves[0]));
        return call_linear(layer, "down", product);
    }
    if (model_.gated) return gated(layer, "gate", "up", "down", x);
    Value wide = call_linear(layer, "up", x);
    wide = activation(wide);
    return call_linear(layer, "down", wide);
}

Value LanguageModel::expert_layer(int layer, const Value& x) {
    const ExpertWeights weights{find(layer, "router"), find(layer, "expert_gate_up"), find(layer, "expert_down")};
    if (model_.experts.shared == 0) return routed_experts(tape_, x, weights, model_.experts);
    if (!model_.experts.shared_gate) {
        const Value routed = routed_experts(tape_, x, weights, model_.experts);
        const Value shared = gated(layer, "shared_gate", "shared_up", "shared_down", x);
        return add(tape_, routed, shared);
    }
    Value shared = gated(layer, "shared_gate", "shared_up", "shared_down", x);
    const Value routed = routed_experts(tape_, x, weights, model_.experts);
    const Value open = unary(tape_, EagerOperation::unspecified, "sigmoid", call_linear(layer, "shared_router", x), Keeps::output, 4);
    shared = mul(tape_, open, shared);
    return add(tape_, routed, shared);
}

/// Phi: attention and feed-forward of one norm, added to the residual one after the other.
Value LanguageModel::parallel_block(int layer, const Value& input) {
    const Value normal = call_norm(layer, "ln1", input);
    Value attended = decoder_attention(layer, normal);
    attended = dropped(attended);
    const Value wide = dropped(feed_forward(layer, normal));
    return add(tape_, add(tape_, attended, wide), input);
}

Value LanguageModel::decoder(int layer, const Value& input) {
    if (model_.parallel) return parallel_block(layer, input);
    Value residual = input;
    Value hidden = call_norm(layer, "ln1", residual);
    hidden = decoder_attention(layer, hidden);
    hidden = dropped(hidden);
    if (model_.output_norms) hidden = call_norm(layer, "attention_norm_out", hidden);
    hidden = add(tape_, residual, hidden);
    residual = hidden;
    hidden = call_norm(layer, "ln2", hidden);
    hidden = feed_forward(layer, hidden);
    hidden = dropped(hidden);
    if (model_.output_norms) hidden = call_norm(layer, "mlp_norm_out", hidden);
    return add(tape_, residual, hidden);
}

}  // namespace zerosim::strategy::torch
