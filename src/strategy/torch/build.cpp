// Parameters in module order. `torch`: the modules of docs/accuracy.md; `huggingface`: transformers 5 modeling_{gpt2,llama,qwen2}.py.
#include "strategy/torch/language_model.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::strategy::torch {

LanguageModel::LanguageModel(Tape& tape, const Scenario& scenario)
    : tape_(tape), scenario_(scenario), model_(scenario.model), huggingface_(model_.implementation == model::Implementation::huggingface),
      gpt_(model_.family == model::Family::gpt2), batch_(scenario.training.micro_batch), sequence_(scenario.training.sequence_length) {
    token_table_ = &declare("wte", -1, model_.vocabulary, model_.hidden);
    if (gpt_) position_table_ = &declare("wpe", -1, model_.positions, model_.hidden);
    blocks_.resize(static_cast<std::size_t>(model_.layers));
    for (int layer = 0; layer < layers(); ++layer) {
        if (huggingface_) {
            gpt_ ? build_hf_gpt(layer) : build_hf_llama(layer);
        } else {
            gpt_ ? build_torch_gpt(layer) : build_torch_llama(layer);
        }
    }
    add_norm("norm", -1);
    head_ = model_.tied ? token_table_ : &declare("head", -1, model_.vocabulary, model_.hidden);
    number_parameters();
}

Parameter& LanguageModel::declare(const std::string& name, int layer, std::int64_t rows, std::int64_t columns) {
    Parameter& p = parameters_.emplace_back();
    p.name = name;
    p.layer = layer;
    p.rows = rows;
    p.columns = columns;
    p.dtype = scenario_.training.precision == Precision::fp32 || tape_.options.autocast ? DType::fp32 : DType::bf16;
    p.trainable = scenario_.training.lora_rank == 0;   // adapters train alone
    (layer < 0 ? root_ : blocks_[static_cast<std::size_t>(layer)]).push_back(&p);
    return p;
}

void LanguageModel::add_norm(const std::string& name, int layer) {
    declare(name, layer, model_.hidden, 1);
    if (gpt_) declare(name + ".bias", layer, model_.hidden, 1);
}

void LanguageModel::add_linear(const std::string& name, int layer, std::int64_t out, std::int64_t in, bool bias) {
    const bool conv1d = gpt_ && huggingface_;
    declare(name, layer, conv1d ? in : out, conv1d ? out : in).input_major = conv1d;
    if (bias) declare(name + ".bias", layer, out, 1);
    add_adapters(name, layer, out, in);
}

void LanguageModel::add_adapters(const std::string& name, int layer, std::int64_t out, std::int64_t in) {
    const auto& t = scenario_.training;
    if (t.lora_rank == 0 || std::ranges::find(t.lora_targets, name) == t.lora_targets.end()) return;
    declare(name + ".A", layer, t.lora_rank, in).trainable = true;
    declare(name + ".B", layer, out, t.lora_rank).trainable = true;
}

void LanguageModel::build_torch_gpt(int layer) {
    const std::int64_t h = model_.hidden, a = model_.heads * model_.head_dim;
    add_norm("ln1", layer);
    add_linear("qkv", layer, 3 * a, h, true);
    add_linear("o", layer, h, a, true);
    add_norm("ln2", layer);
    add_linear("up", layer, model_.feed_forward, h, true);
    add_linear("down", layer, h, model_.feed_forward, true);
}

void LanguageModel::build_hf_gpt(int layer) { build_torch_gpt(layer); }

void LanguageModel::build_torch_llama(int layer) {
    const std::int64_t h = model_.hidden, a = model_.heads * model_.head_dim, k = model_.kv_heads * model_.head_dim;
    add_norm("ln1", layer);
    add_linear("q", layer, a, h, model_.qkv_bias);
    add_linear("k", layer, k, h, model_.qkv_bias);
    add_linear("v", layer, k, h, model_.qkv_bias);
    add_linear("o", layer, h, a, model_.output_bias);
    add_norm("ln2", layer);
    add_linear("gate", layer, model_.feed_forward, h, model_.mlp_bias);
    add_linear("up", layer, model_.feed_forward, h, model_.mlp_bias);
    add_linear("down", layer, h, model_.feed_forward, model_.mlp_bias);
}

void LanguageModel::build_hf_llama(int layer) {
    const std::int64_t h = model_.hidden, a = model_.heads * model_.head_dim, k = model_.kv_heads * model_.head_dim;
    add_linear("q", layer, a, h, model_.qkv_bias);
    add_linear("k", layer, k, h, model_.qkv_bias);
    add_linear("v", layer, k, h, model_.qkv_bias);
    add_linear("o", layer, h, a, model_.output_bias);
    add_linear("gate", layer, model_.feed_forward, h, model_.mlp_bias);
    add_linear("up", layer, model_.feed_forward, h, model_.mlp_bias);
    add_linear("down", layer, h, model_.feed_forward, model_.mlp_bias);
    add_norm("ln1", layer);
    add_norm("ln2", layer);
}

/// The model's list has its own order: found by layer and site.
void LanguageModel::number_parameters() {
    using model::Site;
    struct Row {
        std::string_view name;
        Site site;
    };
    static constexpr Row kRows[] = {{"wte", Site::token_embedding}, {"wpe", Site::position_embedding}, {"ln1", Site::input_norm},
                                    {"ln1.bias", Site::input_norm_bias}, {"qkv", Site::qkv}, {"qkv.bias", Site::qkv_bias}, {"q", Site::q},
                                    {"k", Site::k}, {"v", Site::v}, {"q.bias", Site::q_bias}, {"k.bias", Site::k_bias}, {"v.bias", Site::v_bias},
                                    {"o", Site::output}, {"o.bias", Site::output_bias}, {"ln2", Site::post_norm}, {"ln2.bias", Site::post_norm_bias},
                                    {"up", Site::up}, {"up.bias", Site::up_bias}, {"gate", Site::gate}, {"gate.bias", Site::gate_bias},
                                    {"down", Site::down}, {"down.bias", Site::down_bias}, {"norm", Site::final_norm},
                                    {"norm.bias", Site::final_norm_bias}, {"head", Site::head}};
    std::unordered_map<std::int64_t, int> numbers;
    const auto key = [](int layer, Site site) { return (std::int64_t{layer} + 1) * 256 + static_cast<int>(site); };
    const auto all = model::parameters(model_);
    for (std::size_t i = 0; i < all.size(); ++i) numbers[key(all[i].layer, all[i].site)] = static_cast<int>(i);
    for (Parameter& p : parameters_) {
        const auto* const row = std::ranges::find(kRows, std::string_view(p.name), &Row::name);
        if (row == std::end(kRows)) continue;   // an adapter
        const auto found = numbers.find(key(p.layer, row->site));
        check(found != numbers.end(), "a module's parameter is not one of the model's");
        p.index = found->second;
    }
}

Parameter* LanguageModel::find(int layer, std::string_view name) {
    for (Parameter* p : layer < 0 ? root_ : blocks_[static_cast<std::size_t>(layer)])
        if (p->name == name) return p;
    return nullptr;
}

}  // namespace zerosim::strategy::torch
