// Parameters in module order. `torch`: the modules of docs/accuracy.md; `huggingface`: transformers 5 modeling_{gpt2,llama,qwen2}.py.
#include "strategy/torch/language_model.hpp"

#include "base/error.hpp"
#include "model/families.hpp"
#include "strategy/adapters.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::strategy::torch {

LanguageModel::LanguageModel(Tape& tape, const Scenario& scenario)
    : tape_(tape), scenario_(scenario), model_(scenario.model), huggingface_(model_.implementation == model::Implementation::huggingface),
      gpt_(model_.family == model::Family::gpt2), decoder_(!model::beyond_basic(model_).empty()), batch_(scenario.training.micro_batch), sequence_(scenario.training.sequence_length) {
    token_table_ = &declare("wte", -1, model_.vocabulary, model_.hidden);
    if (gpt_) position_table_ = &declare("wpe", -1, model_.positions, model_.hidden);
    blocks_.resize(static_cast<std::size_t>(model_.layers));
    for (int layer = 0; layer < layers(); ++layer) {
        if (decoder_) {
            build_decoder(layer);
        } else if (huggingface_) {
            gpt_ ? build_hf_gpt(layer) : build_hf_llama(layer);
        } else {
            gpt_ ? build_torch_gpt(layer) : build_torch_llama(layer);
        }
    }
    add_norm("norm", -1);
    head_ = model_.tied ? token_table_ : &declare("head", -1, model_.vocabulary, model_.hidden);
    if (!head_->trainable && scenario.cluster.software.quantized_head && !model_.tied) head_->format = scenario.training.frozen_weights;
    if (model_.head_bias) head_bias_ = &declare("head.bias", -1, model_.vocabulary, 1);
    if (scenario.training.lora_embeddings) train_embeddings();
    number_parameters();
}

/// PEFT's modules_to_save: the forward uses trainable copies; the frozen originals stay.
void LanguageModel::train_embeddings() {
    const DType dtype = token_table_->dtype;
    token_table_ = &trained("wte.copy", -1, model_.vocabulary, model_.hidden);
    token_table_->dtype = dtype;   // deep copies, whatever the adapters' dtype
    head_ = model_.tied ? token_table_ : &trained("head.copy", -1, model_.vocabulary, model_.hidden);
    head_->dtype = dtype;
}

Parameter& LanguageModel::declare(const std::string& name, int layer, std::int64_t rows, std::int64_t columns) {
    Parameter& p = parameters_.emplace_back();
    p.name = tape_.program.interned(name);
    p.layer = layer;
    p.rows = rows;
    p.columns = columns;
    const auto& t = scenario_.training;
    p.dtype = tape_.options.autocast ? DType::fp32 : compute_dtype(t.precision);
    p.trainable = t.lora_rank == 0 && !scenario_.inference.enabled;   // adapters train alone
    if (!p.trainable) p.dtype = t.frozen_precision.value_or(p.dtype);
    (layer < 0 ? root_ : blocks_[static_cast<std::size_t>(layer)]).push_back(&p);
    return p;
}

void LanguageModel::add_norm(const std::string& name, int layer) {
    Parameter& weight = declare(name, layer, model_.hidden, 1);
    if (gpt_ || model_.norm == model::Norm::layer) weight.bias = &declare(name + ".bias", layer, model_.hidden, 1);
}

void LanguageModel::add_linear(const std::string& name, int layer, std::int64_t out, std::int64_t in, bool bias) {
    const bool conv1d = gpt_ && huggingface_;
    Parameter& weight = declare(name, layer, conv1d ? in : out, conv1d ? out : in);
    weight.input_major = conv1d;
    if (!weight.trainable) weight.format = scenario_.training.frozen_weights;
    if (bias) weight.bias = &declare(name + ".bias", layer, out, 1);
    add_adapters(weight, out, in);
}

void LanguageModel::add_adapters(Parameter& weight, std::int64_t out, std::int64_t in) {
    const auto& t = scenario_.training;
    if (!adapts(t, weight.name)) return;
    weight.adapter_a = &trained(std::string(weight.name) + ".A", weight.layer, t.lora_rank, in);
    weight.adapter_b = &trained(std::string(weight.name) + ".B", weight.layer, out, t.lora_rank);
}

/// A parameter that trains although the model's own are frozen.
Parameter& LanguageModel::trained(const std::string& name, int layer, std::int64_t rows, std::int64_t columns) {
    Parameter& p = declare(name, layer, rows, columns);
    const auto& t = scenario_.training;
    p.trainable = true;
    p.dtype = t.lora_precision.value_or(tape_.options.autocast ? DType::fp32 : compute_dtype(t.precision));
    return p;
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

LayoutId LanguageModel::layout_of(const Parameter& p, std::string_view name, bool decays) {
    schedule::FlatLayout layout;
    layout.name = tape_.program.intern(name);
    layout.total = layout.shard = layout.padded = p.elements();
    layout.segments.push_back({p.index, 0, p.elements(), decays, p.input_major ? p.rows : 0});
    return tape_.program.layout(std::move(layout));
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
                                    {"norm.bias", Site::final_norm_bias}, {"head", Site::head}, {"head.bias", Site::head_bias},
                                    {"q_norm", Site::q_norm}, {"k_norm", Site::k_norm}, {"attention_norm_out", Site::attention_norm_out},
                                    {"mlp_norm_out", Site::mlp_norm_out}, {"gate_up", Site::gate_up}, {"q_a", Site::q_a}, {"q_a_norm", Site::q_a_norm},
                                    {"q_b", Site::q_b}, {"kv_a", Site::kv_a}, {"kv_a_norm", Site::kv_a_norm}, {"kv_b", Site::kv_b},
                                    {"router", Site::router}, {"expert_gate_up", Site::expert_gate_up}, {"expert_down", Site::expert_down},
                                    {"shared_gate", Site::shared_gate}, {"shared_up", Site::shared_up}, {"shared_down", Site::shared_down},
                                    {"shared_router", Site::shared_router}};
    std::unordered_map<std::int64_t, int> numbers;
    const auto key = [](int layer, Site site) { return (std::int64_t{layer} + 1) * 256 + static_cast<int>(site); };
    const auto all = model::parameters(model_);
    for (std::size_t i = 0; i < all.size(); ++i) numbers[key(all[i].layer, all[i].site)] = static_cast<int>(i);
    for (Parameter& p : parameters_) {
        const auto* const row = std::ranges::find(kRows, std::string_view(p.name), &Row::name);
        if (row == std::end(kRows)) {   // an adapter: one more
            const std::string name = fmt::format("{}.{}", p.layer, p.name);
            p.index = tape_.program.parameter(name);
            p.layout = layout_of(p, name, true);
            continue;
        }
        const auto found = numbers.find(key(p.layer, row->site));
        check(found != numbers.end(), "a module's parameter is not one of the model's");
        p.index = found->second;
        p.layout = layout_of(p, all[static_cast<std::size_t>(p.index)].name, all[static_cast<std::size_t>(p.index)].matrix);
    }
}

Parameter* LanguageModel::find(int layer, std::string_view name) {
    for (Parameter* p : layer < 0 ? root_ : blocks_[static_cast<std::size_t>(layer)])
        if (p->name == name) return p;
    return nullptr;
}

}  // namespace zerosim::strategy::torch
