// Keys and defaults: transformers' configuration classes (GPT2Config here, the others in huggingface_families.cpp).
#include "base/nearest.hpp"
#include "config/huggingface_families.hpp"
#include "config/json_keys.hpp"
#include "config/strict_json.hpp"
#include "model/families.hpp"

namespace zerosim::config {
namespace {

void note_dropout(const JsonKeys& keys, LoadedModel& loaded) {
    for (const char* key : {"resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout"}) {
        const double rate = keys.real(key, 0);
        if (rate != 0)
            loaded.notes.push_back(
                fmt::format("{}: {} {} is not applied: train.dropout is the only dropout", loaded.origin, key, rate));
    }
}

void import_gpt2(const JsonKeys& keys, model::Model& m) {
    m.layers = keys.integer("n_layer", keys.integer("num_hidden_layers", 12));
    m.hidden = keys.integer("n_embd", keys.integer("hidden_size", 768));
    m.heads = keys.integer("n_head", keys.integer("num_attention_heads", 12));
    m.feed_forward = keys.integer("n_inner", 0);
    m.vocabulary = keys.integer("vocab_size", 50257);
    m.positions = keys.integer("n_positions", keys.integer("max_position_embeddings", 1024));
    m.norm_epsilon = keys.real("layer_norm_epsilon", 1e-5);
    m.tied = keys.boolean("tie_word_embeddings", true);
    keys.require_text("activation_function", "gelu_new", {"gelu_new", "gelu_pytorch_tanh"}); // both the tanh form
    keys.require_boolean("scale_attn_weights", true);
    keys.require_boolean("scale_attn_by_inverse_layer_idx", false);
    keys.require_boolean("add_cross_attention", false);
}

/// Qwen 1 (QwenLM/Qwen configuration_qwen.py): intermediate_size is that of w1 and w2 together.
void import_qwen(const JsonKeys& keys, model::Model& m) {
    m.layers = keys.integer("num_hidden_layers", 32);
    m.hidden = keys.integer("hidden_size", 4096);
    m.heads = keys.integer("num_attention_heads", 32);
    m.feed_forward = keys.integer("intermediate_size", 22016) / 2;
    m.vocabulary = keys.integer("vocab_size", 151936);
    m.positions = keys.integer("seq_length", 2048);
    m.norm_epsilon = keys.real("layer_norm_epsilon", 1e-6);
    m.rotary_base = keys.real("rotary_emb_base", 10000.0);
    m.tied = keys.boolean("tie_word_embeddings", false);
    keys.require_boolean("no_bias", true);
}

} // namespace

LoadedModel import_huggingface(std::string_view text, const std::string& name, const std::string& place) {
    json object = parse_json(text, place);
    if (!object.is_object()) throw ConfigError(fmt::format("{}: not a JSON object", place));
    const JsonKeys keys(std::move(object), place);
    LoadedModel loaded;
    loaded.model.name = name;
    loaded.origin = place;
    const std::string type = keys.text("model_type", "");
    if (keys.has("quantization_config")) keys.refuse("quantized models ('quantization_config') are not implemented yet");
    if (!model::set_family(loaded.model, type)) {
        const auto known = model::family_names();
        const std::vector<std::string> types(known.begin(), known.end());
        const char* const towers = keys.has("text_config") ? "; of a model of several towers, 'text_config' is a file of its own, and "
                                                             "groups of parameters describe the whole (docs/models.md)"
                                                           : "";
        keys.refuse(fmt::format("model_type '{}' is not one of {}{}{}", type, fmt::join(types, ", "), towers, did_you_mean(type, types)));
    }
    if (type == "qwen") {
        import_qwen(keys, loaded.model);
    } else {
        type == "gpt2" ? import_gpt2(keys, loaded.model) : import_decoder(keys, type, loaded);
    }
    note_dropout(keys, loaded);
    complete(loaded.model, place);
    return loaded;
}

} // namespace zerosim::config
