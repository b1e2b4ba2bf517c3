#include "strategy/megatron/gpt_model.hpp"

namespace zerosim::strategy::megatron {

using model::Site;
using schedule::Role;
using torch::Values;

GptModel::GptModel(Tape& tape, const Scenario& scenario)
    : tape_(tape), scenario_(scenario), model_(scenario.model), gpt_(model_.family == model::Family::gpt2), of_model_(model::parameters(model_)) {
    for (std::size_t i = 0; i < of_model_.size(); ++i) numbers_[{of_model_[i].layer, of_model_[i].site}] = i;
    token_table_ = &declare("word_embeddings", -1, model_.vocabulary, model_.hidden, {Site::token_embedding});
    if (gpt_) position_table_ = &declare("position_embeddings", -1, model_.positions, model_.hidden, {Site::position_embedding});
    for (int layer = 0; layer < model_.layers; ++layer) layers_.push_back(declare_layer(layer));
    final_norm_ = declare_norm("final_layernorm", -1, Site::final_norm, Site::final_norm_bias);
    head_ = model_.tied ? token_table_ : &declare("output_layer", -1, model_.vocabulary, model_.hidden, {Site::head});
}

Parameter& GptModel::declare(const std::string& name, int layer, std::int64_t rows, std::int64_t columns, const Sites& sites) {
    Parameter& p = parameters_.emplace_back();
    p.name = tape_.program.interned(name);
    p.layer = layer;
    p.rows = rows;
    p.columns = columns;
    p.dtype = compute_dtype(scenario_.training.precision);
    lay_out(p, sites);
    return p;
}

/// Megatron's qkv is interleaved by key head; here, as its views, q, k and v lie one after the other: the same numbers in other rows.
/// What is no part of the model by these sites has no layout: it begins as zeros, and is planned only.
void GptModel::lay_out(Parameter& p, const Sites& sites) {
    schedule::FlatLayout layout;
    for (const Site site : sites) {
        const auto found = numbers_.find({p.layer, site});
        if (found == numbers_.end()) return;
        const model::Parameter& part = of_model_[found->second];
        layout.segments.push_back({static_cast<std::int32_t>(found->second), layout.total, part.elements(), part.matrix});
        layout.total += part.elements();
    }
    if (layout.total != p.elements()) return;
    if (sites.size() == 1) p.index = layout.segments.front().parameter;
    layout.name = tape_.program.intern(p.name);
    layout.shard = layout.padded = layout.total;
    p.layout = tape_.program.layout(std::move(layout));
}

GptModel::Norm GptModel::declare_norm(const std::string& name, int layer, Site weight, Site bias) {
    Norm norm;
    norm.weight = &declare(name + ".weight", layer, model_.hidden, 1, {weight});
    if (gpt_) norm.bias = &declare(name + ".bias", layer, model_.hidden, 1, {bias});
    return norm;
}

GptModel::Linear GptModel::declare_linear(const std::string& name, int layer, std::int64_t out, std::int64_t in, bool bias, const Sites& weights,
                                          const Sites& biases) {
    Linear linear;
    linear.weight = &declare(name + ".weight", layer, out, in, weights);
    if (bias) linear.bias = &declare(name + ".bias", layer, out, 1, biases);
    return linear;
}

/// Attention makes its projection before SelfAttention adds qkv; norms belong to the linear layers that follow them.
GptModel::Layer GptModel::declare_layer(int index) {
    const std::int64_t h = model_.hidden, a = model_.heads * model_.head_dim, k = model_.kv_heads * model_.head_dim, f = model_.feed_forward;
    const bool joined = has(Site::qkv);
    const Sites qkv = joined ? Sites{Site::qkv} : Sites{Site::q, Site::k, Site::v};
    const Sites qkv_bias = joined ? Sites{Site::qkv_bias} : Sites{Site::q_bias, Site::k_bias, Site::v_bias};
    const Sites fc1 = gpt_ ? Sites{Site::up} : has(Site::gate_up) ? Sites{Site::gate_up} : Sites{Site::gate, Site::up};
    const Sites fc1_bias = gpt_ ? Sites{Site::up_bias} : Sites{Site::gate_bias, Site::up_bias};
    Layer layer;
    layer.projection = declare_linear("linear_proj", index, h, a, gpt_ || model_.output_bias, {Site::output}, {Site::output_bias});
    layer.input_norm = declare_norm("linear_qkv.layer_norm", index, Site::input_norm, Site::input_norm_bias);
    layer.qkv = declare_linear("linear_qkv", index, a + 2 * k, h, gpt_ || model_.qkv_bias, qkv, qkv_bias);
    layer.post_norm = declare_norm("linear_fc1.layer_norm", index, Site::post_norm, Site::post_norm_bias);
    layer.fc1 = declare_linear("linear_fc1", index, gpt_ ? f : 2 * f, h, gpt_ || model_.mlp_bias, fc1, fc1_bias);
    layer.fc2 = declare_linear("linear_fc2", index, h, f, gpt_ || model_.mlp_bias, {Site::down}, {Site::down_bias});
    return layer;
}

std::vector<Parameter*> GptModel::parameters() {
    std::vector<Parameter*> all;
    for (Parameter& p : parameters_) all.push_back(&p);
    return all;
}

void GptModel::use(Buffers& buffers) {
    context_.emplace(LinearContext{tape_, buffers, scenario_.strategy.megatron.fuse_gradient_accumulation, scenario_.training.fp8_products});
}

/// The module's forward hook: parameters whose gather it waits for.
void GptModel::use(std::initializer_list<const Parameter*> parameters) {
    for (const Parameter* p : parameters)
        if (p != nullptr) context_->buffers.before_use(*p);
}

Value GptModel::call(const Linear& linear, const Value& x) {
    use({linear.weight, linear.bias});
    return megatron::linear(*context_, x, *linear.weight, linear.bias);
}

Value GptModel::call(const Norm& norm, const Value& x) {
    use({norm.weight, norm.bias});
    if (norm.bias == nullptr) return torch::rms_norm(tape_, x, *norm.weight, model_.norm_epsilon);
    return torch::layer_norm(tape_, x, *norm.weight, *norm.bias, model_.norm_epsilon);
}

Value GptModel::drop(Value x) { return scenario_.training.dropout > 0 ? torch::dropout(tape_, x) : x; }

Value GptModel::embed(const Value& tokens) {
    use({token_table_, position_table_});
    Value x = torch::embedding(tape_, tokens, *token_table_);
    if (gpt_) {
        const Value positions = tape_.make("position_ids", scenario_.training.sequence_length, 1, DType::int64, Role::constant);
        tape_.elementwise(kernel::EagerOperation::sequence_numbers, "position_ids", {}, positions);
        const Value places = torch::embedding(tape_, positions, *position_table_);
        x = torch::add(tape_, x, places, true);
    }
    {   // [batch, sequence, hidden] -> [sequence, batch, hidden], contiguous
        const Value batch_first = std::move(x);
        x = torch::scale(tape_, "transpose", batch_first);
    }
    return drop(std::move(x));
}

Value GptModel::core_attention(const Values& qkv) {
    const auto& t = scenario_.training;
    const torch::AttentionShape shape{.batch = t.micro_batch, .sequence = t.sequence_length, .heads = model_.heads, .kv_heads = model_.kv_heads,
                                      .head_dim = model_.head_dim};
    // Neither FlashAttention nor cuDNN takes fp32: Transformer Engine is left with its unfused attention [get_attention_backend].
    const bool unfused = t.standard_attention || (t.precision == Precision::fp32 && scenario_.library == kernel::Library::cuda);
    const auto attention = [this, &t, shape, unfused](const Value& q, const Value& k, const Value& v) {
        return unfused ? unfused_attention(tape_, q, k, v, shape, t.dropout > 0) : torch::attention(tape_, q, k, v, shape);
    };
    if (!t.recompute.selective) return attention(qkv[0], qkv[1], qkv[2]);
    // [_checkpointed_attention_forward]: q, k, v are kept, the rest is computed again.
    return tape_.engine.checkpoint(qkv[0], [attention, k = qkv[1], v = qkv[2]](const Value& q) { return attention(q, k, v); });
}

Value GptModel::attend(const Layer& layer, const Value& x, const Value& angles) {
    const std::int64_t a = model_.heads * model_.head_dim, k = model_.kv_heads * model_.head_dim;
    Values parts;
    {
        Value joined;
        {
            const Value normal = call(layer.input_norm, x);
            joined = call(layer.qkv, normal);
        }
        parts = split_columns(tape_, joined, {a, k, k});
    }
    if (!gpt_)
        for (std::size_t i = 0; i < 2; ++i) {
            const Value rotated = rotate(tape_, parts[i], angles, model_.head_dim);
            parts[i] = rotated;
        }
    const Value attended = core_attention(parts);
    parts.clear();
    return call(layer.projection, attended);
}

Value GptModel::feed_forward(const Layer& layer, const Value& x) {
    Value wide;
    {
        const Value normal = call(layer.post_norm, x);
        wide = call(layer.fc1, normal);
    }
    wide = gpt_ ? gelu(tape_, wide) : swiglu(tape_, wide);
    return call(layer.fc2, wide);
}

/// bias_dropout_add twice.
Value GptModel::run_layer(const Layer& layer, const Value& input, const Value& angles) {
    Value x = input;
    {
        const Value attended = drop(attend(layer, x, angles));
        x = torch::add(tape_, x, attended);
    }
    const Value output = drop(feed_forward(layer, x));
    return torch::add(tape_, x, output);
}

Value GptModel::loss(const Value& tokens, const Value& targets) {
    Value x = embed(tokens), angles;
    if (!gpt_) {
        angles = tape_.make("rotary_angles", scenario_.training.sequence_length, model_.head_dim, DType::fp32, Role::constant);
        kernel::Attributes a;
        a.head_dim = static_cast<std::int32_t>(model_.head_dim);
        a.rotary_base = static_cast<float>(model_.rotary_base);
        tape_.elementwise(kernel::EagerOperation::rotary_table, "rotary_angles", {}, angles, 2, a);   // RotaryEmbedding.forward
    }
    for (int index = 0; index < model_.layers; ++index) {
        tape_.program.tags.layer = static_cast<std::int16_t>(index);
        const Layer& layer = layers_[static_cast<std::size_t>(index)];
        const auto run = [this, &layer, angles](const Value& in) { return run_layer(layer, in, angles); };
        const bool whole = scenario_.training.recompute.applies(index) && !scenario_.training.recompute.selective;
        Value output = whole ? tape_.engine.checkpoint(x, run) : run(x);
        x = std::move(output);
    }
    tape_.program.tags.layer = -1;
    Value normal = call(final_norm_, x);
    x = {};
    use({head_});
    const Value logits = megatron::linear(*context_, normal, *head_, nullptr, model_.tied);
    normal = {};
    if (!scenario_.training.fused_loss && tape_.options.library == kernel::Library::host)
        return host_cross_entropy(tape_, logits, targets, model_.real_vocabulary);
    if (!scenario_.training.fused_loss) return vocabulary_parallel_cross_entropy(tape_, logits, targets);
    // --cross-entropy-fusion-impl te: gradients overwrite the logits.
    return torch::fused_cross_entropy(tape_, logits, targets, model_.real_vocabulary, true);
}

}  // namespace zerosim::strategy::megatron
