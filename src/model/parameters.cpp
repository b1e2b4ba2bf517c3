#include "model/model.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace zerosim::model {
namespace {

/// Appends parameters in order; one layer's names share a prefix.
class List {
public:
    explicit List(std::vector<Parameter>& parameters) : parameters_(parameters) {}
    void enter(int layer, std::string prefix) {
        layer_ = layer;
        prefix_ = std::move(prefix);
    }
    void matrix(const char* name, Site site, std::int64_t rows, std::int64_t columns) {
        parameters_.push_back({prefix_ + name, site, layer_, rows, columns, true, Initial::matrix});
    }
    void vector(const char* name, Site site, std::int64_t columns, Initial initial) {
        parameters_.push_back({prefix_ + name, site, layer_, 1, columns, false, initial});
    }
    void bias(bool present, const char* name, Site site, std::int64_t columns) {
        if (present) vector(name, site, columns, Initial::zero);
    }

private:
    std::vector<Parameter>& parameters_;
    int layer_ = -1;
    std::string prefix_;
};

void gpt2_layer(List& list, const Model& m) {
    const std::int64_t h = m.hidden, f = m.feed_forward, a = m.heads * m.head_dim;
    list.vector("ln_1.weight", Site::input_norm, h, Initial::one);
    list.vector("ln_1.bias", Site::input_norm_bias, h, Initial::zero);
    list.matrix("attn.qkv.weight", Site::qkv, 3 * a, h);
    list.vector("attn.qkv.bias", Site::qkv_bias, 3 * a, Initial::zero);
    list.matrix("attn.proj.weight", Site::output, h, a);
    list.vector("attn.proj.bias", Site::output_bias, h, Initial::zero);
    list.vector("ln_2.weight", Site::post_norm, h, Initial::one);
    list.vector("ln_2.bias", Site::post_norm_bias, h, Initial::zero);
    list.matrix("mlp.fc.weight", Site::up, f, h);
    list.vector("mlp.fc.bias", Site::up_bias, f, Initial::zero);
    list.matrix("mlp.proj.weight", Site::down, h, f);
    list.vector("mlp.proj.bias", Site::down_bias, h, Initial::zero);
}

void norm(List& list, const Model& m, const std::string& name, Site site, Site bias_site, std::int64_t width) {
    list.vector((name + ".weight").c_str(), site, width, m.norm == Norm::rms_plus_one ? Initial::zero : Initial::one);
    if (m.norm == Norm::layer) list.vector((name + ".bias").c_str(), bias_site, width, Initial::zero);
}

/// DeepSeek's: queries through a small vector or directly, keys and values through a small one.
void latent_projections(List& list, const Model& m) {
    const LatentAttention& l = m.latent;
    const std::int64_t queries = m.heads * m.query_dim();
    if (l.query_rank == 0) {
        list.matrix("q.weight", Site::q, queries, m.hidden);
    } else {
        list.matrix("q_a.weight", Site::q_a, l.query_rank, m.hidden);
        list.vector("q_a_norm.weight", Site::q_a_norm, l.query_rank, Initial::one);
        list.matrix("q_b.weight", Site::q_b, queries, l.query_rank);
    }
    list.matrix("kv_a.weight", Site::kv_a, l.kv_rank + l.rotary_dim, m.hidden);
    list.vector("kv_a_norm.weight", Site::kv_a_norm, l.kv_rank, Initial::one);
    list.matrix("kv_b.weight", Site::kv_b, m.heads * (l.plain_dim + l.value_dim), l.kv_rank);
}

void projections(List& list, const Model& m) {
    if (m.latent.kv_rank > 0) return latent_projections(list, m);
    const std::int64_t h = m.hidden, a = m.heads * m.head_dim, k = m.kv_heads * m.head_dim;
    if (m.fused_qkv) {
        list.matrix("qkv.weight", Site::qkv, a + 2 * k, h);
        list.bias(m.qkv_bias, "qkv.bias", Site::qkv_bias, a + 2 * k);
    } else {
        list.matrix("q.weight", Site::q, a, h);
        list.bias(m.qkv_bias, "q.bias", Site::q_bias, a);
        list.matrix("k.weight", Site::k, k, h);
        list.bias(m.qkv_bias, "k.bias", Site::k_bias, k);
        list.matrix("v.weight", Site::v, k, h);
        list.bias(m.qkv_bias, "v.bias", Site::v_bias, k);
    }
    if (!m.query_key_norm) return;
    const Initial initial = m.norm == Norm::rms_plus_one ? Initial::zero : Initial::one;
    list.vector("q_norm.weight", Site::q_norm, m.head_dim, initial);
    list.vector("k_norm.weight", Site::k_norm, m.head_dim, initial);
}

void feed_forward(List& list, const Model& m) {
    const std::int64_t h = m.hidden, f = m.feed_forward;
    if (m.fused_gate_up) {
        list.matrix("gate_up.weight", Site::gate_up, 2 * f, h);
    } else {
        if (m.gated) {
            list.matrix("gate.weight", Site::gate, f, h);
            list.bias(m.mlp_bias, "gate.bias", Site::gate_bias, f);
        }
        list.matrix("up.weight", Site::up, f, h);
        list.bias(m.mlp_bias, "up.bias", Site::up_bias, f);
    }
    list.matrix("down.weight", Site::down, h, f);
    list.bias(m.mlp_bias, "down.bias", Site::down_bias, h);
}

/// Experts are stacked: one tensor [experts, 2f, h] and one [experts, h, f], dimension 0 = rows [transformers 5, grouped experts].
void expert_layer(List& list, const Model& m) {
    const std::int64_t h = m.hidden;
    const Experts& e = m.experts;
    list.matrix("router.weight", Site::router, e.count, h);
    list.matrix("experts.gate_up.weight", Site::expert_gate_up, e.count, 2 * e.feed_forward * h);
    list.matrix("experts.down.weight", Site::expert_down, e.count, h * e.feed_forward);
    if (e.shared == 0) return;
    list.matrix("shared.gate.weight", Site::shared_gate, e.shared, h);
    list.matrix("shared.up.weight", Site::shared_up, e.shared, h);
    list.matrix("shared.down.weight", Site::shared_down, h, e.shared);
    if (e.shared_gate) list.matrix("shared.router.weight", Site::shared_router, 1, h);
}

void llama_layer(List& list, const Model& m, std::int64_t layer) {
    norm(list, m, "input_norm", Site::input_norm, Site::input_norm_bias, m.hidden);
    projections(list, m);
    const std::int64_t attended = m.heads * m.value_dim();
    list.matrix("o.weight", Site::output, m.hidden, attended);
    list.bias(m.output_bias, "o.bias", Site::output_bias, m.hidden);
    if (m.output_norms) norm(list, m, "attention_norm_out", Site::attention_norm_out, Site::attention_norm_out, m.hidden);
    if (!m.parallel) norm(list, m, "post_norm", Site::post_norm, Site::post_norm_bias, m.hidden);
    m.is_sparse(layer) ? expert_layer(list, m) : feed_forward(list, m);
    if (m.output_norms) norm(list, m, "mlp_norm_out", Site::mlp_norm_out, Site::mlp_norm_out, m.hidden);
}

} // namespace

std::vector<Parameter> parameters(const Model& model) {
    std::vector<Parameter> all;
    List list(all);
    const bool gpt2 = model.family == Family::gpt2;
    for (const ParameterGroup& group : model.coarse.groups) list.matrix(group.name.c_str(), Site::token_embedding, 1, group.parameters);
    if (model.is_coarse()) return all;
    list.matrix("wte.weight", Site::token_embedding, model.vocabulary, model.hidden);
    if (gpt2) list.matrix("wpe.weight", Site::position_embedding, model.positions, model.hidden);
    for (std::int64_t layer = 0; layer < model.layers; ++layer) {
        list.enter(static_cast<int>(layer), fmt::format("{}.{}.", gpt2 ? "h" : "layers", layer));
        gpt2 ? gpt2_layer(list, model) : llama_layer(list, model, layer);
    }
    list.enter(-1, "");
    if (gpt2) {
        list.vector("ln_f.weight", Site::final_norm, model.hidden, Initial::one);
        list.vector("ln_f.bias", Site::final_norm_bias, model.hidden, Initial::zero);
    } else {
        norm(list, model, "norm", Site::final_norm, Site::final_norm_bias, model.hidden);
    }
    if (!model.tied) list.matrix("lm_head.weight", Site::head, model.vocabulary, model.hidden);
    list.bias(model.head_bias, "lm_head.bias", Site::head_bias, model.vocabulary);
    return all;
}

std::int64_t parameter_count(const Model& model) {
    const auto all = parameters(model);
    return std::accumulate(all.begin(), all.end(), std::int64_t{0},
                           [](std::int64_t sum, const Parameter& p) { return sum + p.elements(); });
}

namespace {

/// Elements that multiply one token: `per_token` of the experts.
double active(const Parameter& p, const Experts& experts) {
    const bool routed = p.site == Site::expert_gate_up || p.site == Site::expert_down;
    const double share = routed ? static_cast<double>(experts.per_token) / static_cast<double>(experts.count) : 1.0;
    return share * static_cast<double>(p.elements());
}

/// Keys a query sees on average: half of the sequence, or a window w of it: (w*w/2 + (s-w)*w) / s.
double average_keys(double s, double window) {
    const double w = window > 0 ? std::min(s, window) : s;
    return s > 0 ? (w * w / 2 + (s - w) * w) / s : 0;
}

/// Forward of one sample, three times for forward and backward, per token of the rules' sample.
double coarse_flops(const Coarse& coarse) {
    double flops = 0;
    for (const ActivationRule& rule : coarse.rules) flops += 3 * rule.flops * static_cast<double>(rule.copies);
    return flops;
}

} // namespace

std::int64_t active_parameter_count(const Model& model) {
    double sum = 0;
    for (const Parameter& p : parameters(model)) sum += active(p, model.experts);
    return static_cast<std::int64_t>(sum);
}

double flops_per_token(const Model& model, std::int64_t sequence) {
    if (model.is_coarse()) return sequence > 0 ? coarse_flops(model.coarse) / static_cast<double>(sequence) : 0;
    // Matrices that multiply every token: those of the layers, and the head (tied or not) without padded rows. Lookups are free.
    double matmul = static_cast<double>(model.real_vocabulary) * static_cast<double>(model.hidden);
    for (const Parameter& p : parameters(model)) {
        if (p.matrix && p.layer >= 0) matmul += active(p, model.experts);
    }
    const double s = static_cast<double>(sequence);
    double keys = 0;
    for (std::int64_t layer = 0; layer < model.layers; ++layer)
        keys += average_keys(s, model.is_windowed(layer) ? static_cast<double>(model.sliding_window) : 0);
    // Per query and key: scores 2 * heads * width of queries, weighted sum 2 * heads * width of values, forward; twice that backward.
    return 6.0 * matmul + 6.0 * static_cast<double>(model.heads * (model.query_dim() + model.value_dim())) * keys;
}

} // namespace zerosim::model
