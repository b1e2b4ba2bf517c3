// Keys and defaults: transformers' GPT2Config, LlamaConfig, MistralConfig and Qwen2Config.
#include "base/error.hpp"
#include "base/nearest.hpp"
#include "config/model_file.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace zerosim::config {
namespace {

using nlohmann::json;

/// A config.json with typed access; every error names the file and the key.
class Keys {
public:
    Keys(json object, std::string place) : object_(std::move(object)), place_(std::move(place)) {}
    [[nodiscard]] bool has(const char* key) const { return object_.contains(key) && !object_.at(key).is_null(); }
    [[nodiscard]] std::int64_t integer(const char* key) const {
        if (!has(key)) refuse(fmt::format("'{}' is missing", key));
        const json& value = object_.at(key);
        const bool whole =
            value.is_number() && std::floor(value.get<double>()) == value.get<double>() && std::abs(value.get<double>()) < 0x1p53;
        if (!whole || value.get<double>() < 0) refuse(fmt::format("'{}' is {}, not a count", key, value.dump()));
        return static_cast<std::int64_t>(value.get<double>());
    }
    [[nodiscard]] std::int64_t integer(const char* key, std::int64_t otherwise) const {
        return has(key) ? integer(key) : otherwise;
    }
    [[nodiscard]] double real(const char* key, double otherwise) const {
        if (!has(key)) return otherwise;
        if (!object_.at(key).is_number()) refuse(fmt::format("'{}' is {}, not a number", key, object_.at(key).dump()));
        return object_.at(key).get<double>();
    }
    [[nodiscard]] bool boolean(const char* key, bool otherwise) const {
        if (!has(key)) return otherwise;
        if (!object_.at(key).is_boolean()) refuse(fmt::format("'{}' is {}, not true or false", key, object_.at(key).dump()));
        return object_.at(key).get<bool>();
    }
    [[nodiscard]] std::string text(const char* key, const char* otherwise) const {
        if (!has(key)) return otherwise;
        if (!object_.at(key).is_string()) refuse(fmt::format("'{}' is {}, not a text", key, object_.at(key).dump()));
        return object_.at(key).get<std::string>();
    }
    [[nodiscard]] const json& at(const char* key) const { return object_.at(key); }
    [[noreturn]] void refuse(const std::string& what) const { throw ConfigError(fmt::format("{}: {}", place_, what)); }
    /// Refuses a key that is set to anything but `only`, because zerosim computes `only`.
    void require_text(const char* key, const char* otherwise, const std::vector<std::string>& only) const {
        const std::string value = text(key, otherwise);
        if (std::find(only.begin(), only.end(), value) == only.end()) {
            refuse(fmt::format("'{}' is '{}'; implemented: {}", key, value, fmt::join(only, ", ")));
        }
    }
    void require_boolean(const char* key, bool only) const {
        if (boolean(key, only) != only) refuse(fmt::format("'{}' is {}; only {} is implemented", key, !only, only));
    }

private:
    json object_;
    std::string place_;
};

void note_dropout(const Keys& keys, LoadedModel& loaded) {
    for (const char* key : {"resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout"}) {
        const double rate = keys.real(key, 0);
        if (rate != 0)
            loaded.notes.push_back(
                fmt::format("{}: {} {} is not applied: train.dropout is the only dropout", loaded.origin, key, rate));
    }
}

void import_gpt2(const Keys& keys, model::Model& m) {
    m.family = model::Family::gpt2;
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

/// Windowed layers: the whole model is held to the window, which resolve() compares with the sequence.
std::int64_t sliding_window(const Keys& keys, const std::string& type) {
    if (type == "llama" || !keys.has("sliding_window")) return 0;
    if (type == "qwen2" && !keys.boolean("use_sliding_window", false)) return 0;
    return keys.integer("sliding_window");
}

/// rope_scaling (transformers 4) or rope_parameters (transformers 5, which also holds rope_theta).
void import_rotary(const Keys& keys, LoadedModel& loaded) {
    loaded.model.rotary_base = keys.real("rope_theta", 10000.0);
    for (const char* key : {"rope_scaling", "rope_parameters"}) {
        if (!keys.has(key)) continue;
        const json& rotary = keys.at(key);
        if (!rotary.is_object()) keys.refuse(fmt::format("'{}' is {}, not an object", key, rotary.dump()));
        const json type = rotary.value("rope_type", rotary.value("type", json("default")));
        if (rotary.contains("rope_theta") && rotary.at("rope_theta").is_number())
            loaded.model.rotary_base = rotary.at("rope_theta").get<double>();
        if (type == "default") continue;
        loaded.notes.push_back(
            fmt::format("{}: rotary scaling {} is not applied: positions are embedded as they are", loaded.origin, type.dump()));
    }
}

void import_llama(const Keys& keys, const std::string& type, LoadedModel& loaded) {
    model::Model& m = loaded.model;
    m.family = model::Family::llama;
    m.layers = keys.integer("num_hidden_layers");
    m.hidden = keys.integer("hidden_size");
    m.heads = keys.integer("num_attention_heads");
    m.kv_heads = keys.integer("num_key_value_heads", type == "mistral" ? 8 : m.heads);
    m.head_dim = keys.integer("head_dim", 0);
    m.feed_forward = keys.integer("intermediate_size");
    m.vocabulary = keys.integer("vocab_size");
    m.positions = keys.integer("max_position_embeddings");
    m.norm_epsilon = keys.real("rms_norm_eps", 1e-6);
    m.tied = keys.boolean("tie_word_embeddings", false);
    m.sliding_window = sliding_window(keys, type);
    // Qwen2's attention has biases on q, k and v whatever attention_bias says; Llama's attention_bias is of q, k, v and o.
    m.qkv_bias = type == "qwen2" || (type == "llama" && keys.boolean("attention_bias", false));
    m.output_bias = type == "llama" && keys.boolean("attention_bias", false);
    m.mlp_bias = type == "llama" && keys.boolean("mlp_bias", false);
    keys.require_text("hidden_act", "silu", {"silu"});
    if (keys.real("partial_rotary_factor", 1.0) != 1.0) keys.refuse("'partial_rotary_factor' other than 1 is not implemented");
    import_rotary(keys, loaded);
}

} // namespace

LoadedModel import_huggingface(std::string_view text, const std::string& name, const std::string& place) {
    json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) throw ConfigError(fmt::format("{}: not a JSON object", place));
    const Keys keys(std::move(object), place);
    LoadedModel loaded;
    loaded.model.name = name;
    loaded.origin = place;
    static const std::vector<std::string> types{"gpt2", "llama", "mistral", "qwen2"};
    const std::string type = keys.text("model_type", "");
    if (keys.has("quantization_config")) keys.refuse("quantized models ('quantization_config') are not implemented yet");
    if (type == "gpt2") {
        import_gpt2(keys, loaded.model);
    } else if (std::find(types.begin(), types.end(), type) != types.end()) {
        import_llama(keys, type, loaded);
    } else {
        keys.refuse(fmt::format("model_type '{}' is not one of {}{}", type, fmt::join(types, ", "), did_you_mean(type, types)));
    }
    note_dropout(keys, loaded);
    complete(loaded.model, place);
    return loaded;
}

} // namespace zerosim::config
