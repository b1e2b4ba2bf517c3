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

void llama_layer(List& list, const Model& m) {
    const std::int64_t h = m.hidden, f = m.feed_forward, a = m.heads * m.head_dim, k = m.kv_heads * m.head_dim;
    list.vector("input_norm.weight", Site::input_norm, h, Initial::one);
    list.matrix("q.weight", Site::q, a, h);
    list.bias(m.qkv_bias, "q.bias", Site::q_bias, a);
    list.matrix("k.weight", Site::k, k, h);
    list.bias(m.qkv_bias, "k.bias", Site::k_bias, k);
    list.matrix("v.weight", Site::v, k, h);
    list.bias(m.qkv_bias, "v.bias", Site::v_bias, k);
    list.matrix("o.weight", Site::output, h, a);
    list.bias(m.output_bias, "o.bias", Site::output_bias, h);
    list.vector("post_norm.weight", Site::post_norm, h, Initial::one);
    list.matrix("gate.weight", Site::gate, f, h);
    list.bias(m.mlp_bias, "gate.bias", Site::gate_bias, f);
    list.matrix("up.weight", Site::up, f, h);
    list.bias(m.mlp_bias, "up.bias", Site::up_bias, f);
    list.matrix("down.weight", Site::down, h, f);
    list.bias(m.mlp_bias, "down.bias", Site::down_bias, h);
}

} // namespace

std::vector<Parameter> parameters(const Model& model) {
    std::vector<Parameter> all;
    List list(all);
    const bool gpt2 = model.family == Family::gpt2;
    list.matrix("wte.weight", Site::token_embedding, model.vocabulary, model.hidden);
    if (gpt2) list.matrix("wpe.weight", Site::position_embedding, model.positions, model.hidden);
    for (std::int64_t layer = 0; layer < model.layers; ++layer) {
        list.enter(static_cast<int>(layer), fmt::format("{}.{}.", gpt2 ? "h" : "layers", layer));
        gpt2 ? gpt2_layer(list, model) : llama_layer(list, model);
    }
    list.enter(-1, "");
    list.vector(gpt2 ? "ln_f.weight" : "norm.weight", Site::final_norm, model.hidden, Initial::one);
    if (gpt2) list.vector("ln_f.bias", Site::final_norm_bias, model.hidden, Initial::zero);
    if (!model.tied) list.matrix("lm_head.weight", Site::head, model.vocabulary, model.hidden);
    return all;
}

std::int64_t parameter_count(const Model& model) {
    const auto all = parameters(model);
    return std::accumulate(all.begin(), all.end(), std::int64_t{0},
                           [](std::int64_t sum, const Parameter& p) { return sum + p.elements(); });
}

double flops_per_token(const Model& model, std::int64_t sequence) {
    // Matrices that multiply every token: those of the layers, and the head (tied or not) without padded rows. Lookups are free.
    double matmul = static_cast<double>(model.real_vocabulary) * static_cast<double>(model.hidden);
    for (const Parameter& p : parameters(model)) {
        if (p.matrix && p.layer >= 0) matmul += static_cast<double>(p.elements());
    }
    // Keys a query sees on average: half of the sequence, or a window w of it: (w*w/2 + (s-w)*w) / s.
    const double s = static_cast<double>(sequence);
    const double window = model.sliding_window > 0 ? std::min(s, static_cast<double>(model.sliding_window)) : s;
    const double keys = s > 0 ? (window * window / 2 + (s - window) * window) / s : 0;
    // Per query and key: scores and weighted sum are 2 * 2 * heads * head_dim forward, twice that backward.
    const double attention = 12.0 * static_cast<double>(model.layers * model.heads * model.head_dim) * keys;
    return 6.0 * matmul + attention;
}

} // namespace zerosim::model
