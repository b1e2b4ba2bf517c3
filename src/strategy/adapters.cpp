#include "strategy/adapters.hpp"

#include <algorithm>

namespace zerosim::strategy {

namespace {

std::vector<LinearLayer> attention_layers(const model::Model& m) {
    const std::int64_t h = m.hidden, query = m.heads * m.head_dim, key = m.kv_heads * m.head_dim;
    if (m.family == model::Family::gpt2 || m.fused_qkv) return {{"qkv", h, query + 2 * key}, {"o", query, h}};
    if (const model::LatentAttention& l = m.latent; l.kv_rank > 0) {
        std::vector<LinearLayer> layers{{"kv_a", h, l.kv_rank + l.rotary_dim}, {"kv_b", l.kv_rank, m.heads * (l.plain_dim + l.value_dim)}, {"o", m.heads * l.value_dim, h}};
        if (l.query_rank == 0) {
            layers.push_back({"q", h, query});
        } else {
            layers.insert(layers.end(), {{"q_a", h, l.query_rank}, {"q_b", l.query_rank, query}});
        }
        return layers;
    }
    return {{"q", h, query}, {"k", h, key}, {"v", h, key}, {"o", query, h}};
}

/// A and B of every adapted layer of every block.
std::int64_t parameters_of_adapters(const model::Model& m, const Training& training) {
    std::int64_t widths = 0;
    for (const LinearLayer& layer : linear_layers(m))
        if (adapts(training, layer.name)) widths += layer.in + layer.out;
    return training.lora_rank * widths * m.layers;
}

}  // namespace

std::vector<LinearLayer> linear_layers(const model::Model& m) {
    std::vector<LinearLayer> layers = attention_layers(m);
    if (m.experts.count > 0) return layers;   // experts are no linear modules
    const std::int64_t h = m.hidden, f = m.feed_forward;
    if (m.fused_gate_up) {
        layers.push_back({"gate_up", h, 2 * f});
    } else {
        if (m.gated && m.family != model::Family::gpt2) layers.push_back({"gate", h, f});
        layers.push_back({"up", h, f});
    }
    layers.push_back({"down", f, h});
    return layers;
}

bool adapts(const Training& training, std::string_view name) {
    if (training.lora_rank == 0 || name == "router" || name.starts_with("shared_")) return false;
    return std::ranges::any_of(training.lora_targets, [&](const std::string& target) { return target == name || target == "all"; });
}

std::int64_t adapter_parameters(const model::Model& m, const Training& training) {
    const std::int64_t tables = training.lora_embeddings ? (m.tied ? 1 : 2) * m.vocabulary * m.hidden : 0;
    return training.lora_rank == 0 ? 0 : parameters_of_adapters(m, training) + tables;
}

double model_flops_per_token(const model::Model& m, const Training& training) {
    const double full = model::flops_per_token(m, training.sequence_length);
    if (training.lora_rank == 0 || m.is_coarse()) return full;
    const double matrices = model::flops_per_token(m, 0) / 6; // parameters that multiply: without a sequence there is no attention
    const double head = training.lora_embeddings ? static_cast<double>(m.real_vocabulary) * static_cast<double>(m.hidden) : 0;
    return full - 2 * (matrices - head) + 6 * static_cast<double>(parameters_of_adapters(m, training));
}

bool starts_as_zero(std::string_view name) { return name.ends_with(".B"); }

}  // namespace zerosim::strategy
