// The float64 reference trajectories of tests/truth/training: the scenario of one, and how far a training is from it.
#pragma once

#include "support/training.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace zerosim::test {

struct Reference {
    nlohmann::json json;
    explicit Reference(const std::string& name) { std::ifstream(fmt::format("{}/tests/truth/training/{}.json", ZEROSIM_SOURCE_DIR, name)) >> json; }
};

inline model::Model model_of(const nlohmann::json& c) {
    model::Model m;
    m.family = c["arch"] == "gpt2" ? model::Family::gpt2 : model::Family::llama;
    m.layers = c["num_hidden_layers"];
    m.hidden = c["hidden_size"];
    m.heads = c["num_attention_heads"];
    m.kv_heads = c["num_key_value_heads"];
    m.head_dim = m.hidden / m.heads;
    m.feed_forward = c["intermediate_size"];
    m.vocabulary = m.real_vocabulary = c["vocab_size"];
    m.positions = c["max_position_embeddings"];
    m.tied = c["tie_word_embeddings"];
    m.qkv_bias = m.output_bias = m.mlp_bias = m.family == model::Family::gpt2;
    return m;
}

inline strategy::Scenario scenario_of(const nlohmann::json& r, std::int64_t ranks, int stage) {
    strategy::Scenario s;
    s.model = model_of(r["config"]);
    s.ranks = ranks;
    s.strategy.zero_stage = stage;
    const std::int64_t batch = r["batch"];
    s.training.gradient_accumulation = batch % (2 * ranks) == 0 ? 2 : 1;
    s.training.micro_batch = batch / (ranks * s.training.gradient_accumulation);
    s.training.sequence_length = r["seq"];
    s.training.steps = r["steps"];
    s.training.precision = strategy::Precision::fp32;
    s.training.learning_rate = r["lr"];
    s.training.beta1 = r["betas"][0];
    s.training.beta2 = r["betas"][1];
    s.training.epsilon = r["eps"];
    s.training.weight_decay = r["weight_decay"];
    s.training.clip_gradients = r["clip"];
    s.training.data = "chain";
    s.training.init = "hash";
    return s;
}

inline double relative(double a, double b) { return std::abs(a - b) / std::max(std::abs(b), 1e-12); }

inline double worst_error(const Trained& t, const nlohmann::json& r, bool loss_only) {
    double worst = 0;
    for (std::size_t i = 0; i < r["loss"].size(); ++i) {
        worst = std::max(worst, relative(t.losses.at(i), r["loss"][i]));
        if (!loss_only) worst = std::max(worst, relative(t.norms.at(i), r["grad_norm"][i]));
    }
    if (!loss_only)
        for (const auto& [name, norm] : r["final_param_norm"].items()) worst = std::max(worst, relative(t.final_norms.at(name), norm));
    return worst;
}

}  // namespace zerosim::test
