// Sources: transformers, models/<name>/{configuration,modeling}_<name>.py.
#include "model/families.hpp"

#include <algorithm>
#include <array>

namespace zerosim::model {
namespace {

constexpr std::array<std::string_view, 16> kNames{"gpt2",   "llama",   "mistral", "qwen",    "qwen2",     "qwen3",     "gemma",       "gemma2",     "gemma3_text",
                                                  "phi",    "phi3",    "mixtral", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3"};

void set_gemma(Model& m, std::string_view name) {
    m.norm = Norm::rms_plus_one;
    m.activation = Activation::gelu;
    m.scaled_embedding = true;
    m.tied = true;
    m.output_norms = name != "gemma";
    m.query_key_norm = name == "gemma3_text";
    if (name == "gemma2") {
        m.full_attention_every = 2;
        m.attention_softcap = 50;
        m.final_softcap = 30;
    }
    if (name == "gemma3_text") m.full_attention_every = 6;
}

void set_phi(Model& m) {
    m.norm = Norm::layer;
    m.activation = Activation::gelu_new;
    m.gated = false;
    m.parallel = true;
    m.qkv_bias = m.output_bias = m.mlp_bias = m.head_bias = true;
}

}  // namespace

std::span<const std::string_view> family_names() { return kNames; }

bool set_family(Model& m, std::string_view name) {
    if (std::ranges::find(kNames, name) == kNames.end()) return false;
    m.family = name == "gpt2" ? Family::gpt2 : Family::llama;
    m.architecture = name;
    if (name == "qwen") m.fused_qkv = true;   // QwenLM/Qwen modeling_qwen.py: c_attn with a bias
    if (name == "qwen" || name == "qwen2" || name == "qwen2_moe") m.qkv_bias = true;
    if (name == "qwen3" || name == "qwen3_moe") m.query_key_norm = true;
    if (name == "qwen2_moe") m.experts.shared_gate = true;
    if (name.starts_with("gemma")) set_gemma(m, name);
    if (name == "phi") set_phi(m);
    if (name == "phi3") m.fused_qkv = m.fused_gate_up = true;
    if (name.starts_with("deepseek")) m.experts.fp32_router = true;
    if (name == "deepseek_v3") m.experts.sigmoid_scores = true;
    return true;
}

std::string family_name(const Model& m) {
    if (m.is_coarse()) return "coarse";
    if (!m.architecture.empty()) return m.architecture;
    return m.family == Family::gpt2 ? "gpt2" : "llama";
}

std::string beyond_basic(const Model& m) {
    if (m.is_coarse()) return "parameters known by groups only";
    if (m.latent.kv_rank > 0) return "latent attention (MLA)";
    if (m.experts.count > 0) return "routed experts";
    if (m.norm == Norm::rms_plus_one) return "norms that scale by 1 + weight";
    if (m.norm == Norm::layer && m.family != Family::gpt2) return "layer norms in a model with rotary positions";
    if (m.query_key_norm) return "norms of queries and keys";
    if (m.output_norms) return "norms after attention and feed-forward";
    if (m.parallel) return "attention beside the feed-forward";
    if (m.fused_qkv || m.fused_gate_up) return "fused projections";
    if (!m.gated && m.family != Family::gpt2) return "a feed-forward without gate";
    if (m.activation != Activation::silu && m.family != Family::gpt2) return "a GELU gate";
    if (m.scaled_embedding) return "scaled embeddings";
    if (m.rotary_fraction != 1) return "partly rotated heads";
    if (m.head_bias) return "a bias in the head";
    if (m.attention_softcap > 0 || m.final_softcap > 0) return "soft-capping";
    return {};
}

}  // namespace zerosim::model
