// Keys and defaults: transformers' models/<type>/configuration_<type>.py.
#include "config/huggingface_families.hpp"

namespace zerosim::config {
namespace {

using model::Activation;
using model::Model;

/// layer_types ("sliding_attention", "full_attention"): all alike, or every n-th full.
void import_layer_types(const JsonKeys& keys, Model& m) {
    if (!keys.has("layer_types") || m.sliding_window == 0) return;
    const json& types = keys.at("layer_types");
    if (!types.is_array()) keys.refuse("'layer_types' is not a list");
    std::int64_t every = 0;
    for (std::size_t i = 0; i < types.size() && every == 0; ++i)
        if (types[i] == "full_attention") every = static_cast<std::int64_t>(i) + 1;
    m.full_attention_every = every;
    for (std::size_t i = 0; i < types.size(); ++i) {
        const char* const expected = m.is_windowed(static_cast<std::int64_t>(i)) ? "sliding_attention" : "full_attention";
        if (types[i] != expected)
            keys.refuse(fmt::format("'layer_types' [{}] is {}; implemented: windows in all layers, or in all but every n-th", i, types[i].dump()));
    }
    if (every == 1) m.sliding_window = m.full_attention_every = 0;
}

void import_window(const JsonKeys& keys, const std::string& type, Model& m) {
    m.sliding_window = 0;
    if (type == "llama" || type == "gemma" || type.starts_with("deepseek")) return;
    if (type.starts_with("qwen") && !keys.boolean("use_sliding_window", false)) return;
    if (type == "gemma2" || type == "gemma3_text") m.sliding_window = 4096;   // the classes' default
    if (keys.has("sliding_window")) m.sliding_window = keys.integer("sliding_window");
    if (keys.has("sliding_window_pattern")) m.full_attention_every = keys.integer("sliding_window_pattern");
    import_layer_types(keys, m);
    const std::int64_t first = keys.integer("max_window_layers", 0);
    if (m.sliding_window > 0 && first > 0 && first < m.layers && !keys.has("layer_types"))
        keys.refuse(fmt::format("'max_window_layers' is {}; windows from some layer on are not implemented", first));
    if (first >= m.layers && type.starts_with("qwen") && !keys.has("layer_types")) m.sliding_window = 0;
}

/// rope_scaling (transformers 4) or rope_parameters (transformers 5, which also holds rope_theta).
void import_rotary(const JsonKeys& keys, LoadedModel& loaded) {
    loaded.model.rotary_base = keys.real("rope_theta", 10000.0);
    for (const char* key : {"rope_scaling", "rope_parameters"}) {
        if (!keys.has(key)) continue;
        const json& rotary = keys.at(key);
        if (!rotary.is_object()) keys.refuse(fmt::format("'{}' is {}, not an object", key, rotary.dump()));
        const json type = rotary.value("rope_type", rotary.value("type", json("default")));
        if (rotary.contains("rope_theta") && rotary.at("rope_theta").is_number())
            loaded.model.rotary_base = rotary.at("rope_theta").get<double>();
        if (rotary.contains("partial_rotary_factor") && rotary.at("partial_rotary_factor").is_number())
            loaded.model.rotary_fraction = rotary.at("partial_rotary_factor").get<double>();
        if (type == "default") continue;
        loaded.notes.push_back(
            fmt::format("{}: rotary scaling {} is not applied: positions are embedded as they are", loaded.origin, type.dump()));
    }
}

void import_activation(const JsonKeys& keys, const std::string& type, Model& m) {
    if (type.starts_with("gemma")) {
        // The gemma classes take hidden_activation and, where it is missing, the tanh form whatever hidden_act says.
        keys.require_text("hidden_activation", "gelu_pytorch_tanh", {"gelu_pytorch_tanh"});
    } else if (type == "phi") {
        keys.require_text("hidden_act", "gelu_new", {"gelu_new", "gelu_pytorch_tanh"});
        m.activation = keys.text("hidden_act", "gelu_new") == "gelu_new" ? Activation::gelu_new : Activation::gelu;
    } else {
        keys.require_text("hidden_act", "silu", {"silu"});
    }
}

void import_biases(const JsonKeys& keys, const std::string& type, Model& m) {
    const bool llama = type == "llama", attention = keys.boolean("attention_bias", false);
    // Qwen2's attention has biases on q, k and v whatever attention_bias says; Llama's attention_bias is of q, k, v and o.
    if (llama) {
        m.qkv_bias = m.output_bias = attention;
        m.mlp_bias = keys.boolean("mlp_bias", false);
    } else if (type == "qwen2_moe") {
        m.qkv_bias = keys.boolean("qkv_bias", true);
    } else if (attention && type != "mistral" && type != "qwen2" && type != "phi") {
        keys.refuse(fmt::format("'attention_bias' is true; only false is implemented for model_type {}", type));
    }
}

/// Which layers have experts is one list in some classes, a number in others.
void import_sparse_layers(const JsonKeys& keys, Model& m) {
    m.experts.first_dense = keys.integer("first_k_dense_replace", 0);
    m.experts.every = std::max<std::int64_t>(1, keys.integer("decoder_sparse_step", keys.integer("moe_layer_freq", 1)));
    if (keys.has("mlp_only_layers") && keys.at("mlp_only_layers").is_array() && !keys.at("mlp_only_layers").empty())
        keys.refuse("'mlp_only_layers' is not empty, which is not implemented");
}

void import_experts(const JsonKeys& keys, const std::string& type, Model& m) {
    model::Experts& e = m.experts;
    e.count = keys.integer("n_routed_experts", keys.integer("num_local_experts", keys.integer("num_experts", 0)));
    if (e.count == 0) keys.refuse("the number of experts is missing (num_local_experts, num_experts or n_routed_experts)");
    e.per_token = keys.integer("num_experts_per_tok");
    if (e.per_token < 1 || e.per_token > e.count) keys.refuse(fmt::format("'num_experts_per_tok' is {} of {} experts", e.per_token, e.count));
    e.feed_forward = type == "mixtral" ? m.feed_forward : keys.integer("moe_intermediate_size");
    e.shared = type == "qwen2_moe" ? keys.integer("shared_expert_intermediate_size") : keys.integer("n_shared_experts", 0) * e.feed_forward;
    if (keys.real("router_jitter_noise", 0) != 0) keys.refuse("'router_jitter_noise' other than 0 is not implemented");
    import_sparse_layers(keys, m);
}

void import_latent(const JsonKeys& keys, Model& m) {
    model::LatentAttention& l = m.latent;
    l.kv_rank = keys.integer("kv_lora_rank");
    l.query_rank = keys.integer("q_lora_rank", 0);
    l.rotary_dim = keys.integer("qk_rope_head_dim");
    l.plain_dim = keys.integer("qk_nope_head_dim");
    l.value_dim = keys.integer("v_head_dim");
    m.head_dim = l.plain_dim + l.rotary_dim;
    m.kv_heads = m.heads;
}

void import_gemma(const JsonKeys& keys, const std::string& type, Model& m) {
    m.head_dim = keys.integer("head_dim", 256);
    if (type == "gemma") return;
    const auto cap = [&](const char* key, double otherwise) { return keys.is_null(key) ? 0 : keys.real(key, otherwise); };
    const bool capped = type == "gemma2";
    m.attention_softcap = cap("attn_logit_softcapping", capped ? 50 : 0);
    m.final_softcap = cap("final_logit_softcapping", capped ? 30 : 0);
}

} // namespace

void import_decoder(const JsonKeys& keys, const std::string& type, LoadedModel& loaded) {
    Model& m = loaded.model;
    m.layers = keys.integer("num_hidden_layers");
    m.hidden = keys.integer("hidden_size");
    m.heads = keys.integer("num_attention_heads");
    m.kv_heads = keys.integer("num_key_value_heads", type == "mistral" ? 8 : m.heads);
    m.head_dim = keys.integer("head_dim", type.starts_with("qwen3") ? 128 : 0);
    m.feed_forward = keys.integer("intermediate_size");
    m.vocabulary = keys.integer("vocab_size");
    m.positions = keys.integer("max_position_embeddings");
    m.norm_epsilon = type == "phi" ? keys.real("layer_norm_eps", 1e-5) : keys.real("rms_norm_eps", 1e-6);
    m.tied = keys.boolean("tie_word_embeddings", m.tied);
    import_window(keys, type, m);
    import_biases(keys, type, m);
    import_activation(keys, type, m);
    if (type.starts_with("gemma")) import_gemma(keys, type, m);
    if (type == "mixtral" || type.ends_with("_moe") || type.starts_with("deepseek")) import_experts(keys, type, m);
    if (type.starts_with("deepseek")) import_latent(keys, m);
    if (type == "phi" && keys.boolean("qk_layernorm", false)) keys.refuse("'qk_layernorm' true is not implemented for phi");
    m.rotary_fraction = keys.real("partial_rotary_factor", type == "phi" ? 0.5 : 1.0);
    import_rotary(keys, loaded);
    if (m.rotary_fraction != 1.0 && !type.starts_with("phi")) keys.refuse("'partial_rotary_factor' other than 1 is not implemented for this model_type");
}

} // namespace zerosim::config
