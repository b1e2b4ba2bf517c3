// Megatron-core's GPTModel with Transformer Engine's layers: parameters in module order, forward, loss.
// Built by the planner of `megatron`, which puts its parameters into buffers before the first forward.
// Tensor, pipeline and context parallelism are not modelled.
// Sources: megatron/core/models/gpt/{gpt_model,gpt_layer_specs}.py, megatron/core/transformer/{attention,mlp,transformer_layer}.py.
#pragma once

#include "strategy/megatron/operations.hpp"
#include "strategy/scenario.hpp"

#include <deque>
#include <map>
#include <optional>
#include <utility>
#include <vector>

namespace zerosim::strategy::megatron {

class GptModel {
public:
    GptModel(Tape& tape, const Scenario& scenario);
    /// In the order of module.parameters(): embedding, layers (projection, qkv with its norm, fc1 with its norm, fc2), norm, head.
    [[nodiscard]] std::vector<Parameter*> parameters();
    void use(Buffers& buffers);
    /// The mean loss of one micro-batch.
    [[nodiscard]] Value loss(const Value& tokens, const Value& targets);

private:
    struct Linear {
        Parameter *weight = nullptr, *bias = nullptr;
    };
    struct Norm {
        Parameter *weight = nullptr, *bias = nullptr;
    };
    struct Layer {
        Linear projection, qkv, fc1, fc2;
        Norm input_norm, post_norm;
    };
    /// The model's parameters of which one of these consists, end to end.
    using Sites = std::vector<model::Site>;
    Parameter& declare(const std::string& name, int layer, std::int64_t rows, std::int64_t columns, const Sites& sites);
    [[nodiscard]] Linear declare_linear(const std::string& name, int layer, std::int64_t out, std::int64_t in, bool bias, const Sites& weights, const Sites& biases);
    [[nodiscard]] Norm declare_norm(const std::string& name, int layer, model::Site weight, model::Site bias);
    void lay_out(Parameter& p, const Sites& sites);
    [[nodiscard]] bool has(model::Site site) const { return numbers_.contains({model_.layers - 1, site}); }
    [[nodiscard]] Layer declare_layer(int layer);

    [[nodiscard]] Value embed(const Value& tokens);
    [[nodiscard]] Value run_layer(const Layer& layer, const Value& x, const Value& angles);
    [[nodiscard]] Value attend(const Layer& layer, const Value& x, const Value& angles);
    [[nodiscard]] Value core_attention(const torch::Values& qkv);
    [[nodiscard]] Value feed_forward(const Layer& layer, const Value& x);
    [[nodiscard]] Value call(const Linear& linear, const Value& x);
    [[nodiscard]] Value call(const Norm& norm, const Value& x);
    [[nodiscard]] Value drop(Value x);
    void use(std::initializer_list<const Parameter*> parameters);

    Tape& tape_;
    const Scenario& scenario_;
    const model::Model& model_;
    bool gpt_ = false;
    std::vector<model::Parameter> of_model_;
    std::map<std::pair<int, model::Site>, std::size_t> numbers_;   // into of_model_, by layer and site
    std::deque<Parameter> parameters_;
    std::vector<Layer> layers_;
    Norm final_norm_;
    Parameter *token_table_ = nullptr, *position_table_ = nullptr, *head_ = nullptr;
    std::optional<LinearContext> context_;
};

}  // namespace zerosim::strategy::megatron
