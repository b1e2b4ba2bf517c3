#include "config/model_file.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"
#include "base/units.hpp"
#include "config/coarse_model_file.hpp"
#include "config/ini.hpp"
#include "model/families.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <array>
#include <fstream>
#include <optional>
#include <sstream>
#include <variant>

namespace zerosim::config {
namespace {

namespace fs = std::filesystem;
using model::Model;

/// One key of a preset and the member it sets.
struct PresetKey {
    std::string_view key;
    std::variant<std::int64_t Model::*, double Model::*, bool Model::*> member;
};
constexpr std::array<PresetKey, 20> kPresetKeys{{
    {"model.layers", &Model::layers},
    {"model.hidden", &Model::hidden},
    {"model.heads", &Model::heads},
    {"model.kv-heads", &Model::kv_heads},
    {"model.head-dim", &Model::head_dim},
    {"model.feed-forward", &Model::feed_forward},
    {"model.vocabulary", &Model::vocabulary},
    {"model.positions", &Model::positions},
    {"model.sliding-window", &Model::sliding_window},
    {"model.norm-epsilon", &Model::norm_epsilon},
    {"model.rotary-base", &Model::rotary_base},
    {"model.tied", &Model::tied},
    {"model.qkv-bias", &Model::qkv_bias},
    {"model.fused-qkv", &Model::fused_qkv},
    {"model.output-bias", &Model::output_bias},
    {"model.mlp-bias", &Model::mlp_bias},
    {"model.full-attention-every", &Model::full_attention_every},
    {"model.rotary-fraction", &Model::rotary_fraction},
    {"model.attention-softcap", &Model::attention_softcap},
    {"model.final-softcap", &Model::final_softcap},
}};

/// Keys of routed experts and of latent attention: counts in a member of their own.
struct NestedKey {
    std::string_view key;
    std::int64_t& (*member)(Model&);
};
constexpr std::array<NestedKey, 11> kNestedKeys{{
    {"experts.count", [](Model& m) -> std::int64_t& { return m.experts.count; }},
    {"experts.per-token", [](Model& m) -> std::int64_t& { return m.experts.per_token; }},
    {"experts.feed-forward", [](Model& m) -> std::int64_t& { return m.experts.feed_forward; }},
    {"experts.shared", [](Model& m) -> std::int64_t& { return m.experts.shared; }},
    {"experts.first-dense", [](Model& m) -> std::int64_t& { return m.experts.first_dense; }},
    {"experts.every", [](Model& m) -> std::int64_t& { return m.experts.every; }},
    {"latent.kv-rank", [](Model& m) -> std::int64_t& { return m.latent.kv_rank; }},
    {"latent.query-rank", [](Model& m) -> std::int64_t& { return m.latent.query_rank; }},
    {"latent.rotary-dim", [](Model& m) -> std::int64_t& { return m.latent.rotary_dim; }},
    {"latent.plain-dim", [](Model& m) -> std::int64_t& { return m.latent.plain_dim; }},
    {"latent.value-dim", [](Model& m) -> std::int64_t& { return m.latent.value_dim; }},
}};

std::vector<std::string> preset_keys() {
    std::vector<std::string> keys{"model.family", "model.rotary-scaling"};
    for (const PresetKey& key : kPresetKeys) keys.emplace_back(key.key);
    for (const NestedKey& key : kNestedKeys) keys.emplace_back(key.key);
    return keys;
}

/// Sets the member; false if the text is not such a value.
bool assign(Model& model, const PresetKey& key, const std::string& text) {
    if (const auto* integer = std::get_if<std::int64_t Model::*>(&key.member)) {
        const auto value = parse_integer(text);
        if (!value || *value < 0) return false;
        model.*(*integer) = *value;
    } else if (const auto* real = std::get_if<double Model::*>(&key.member)) {
        const auto value = parse_real(text);
        if (!value || *value <= 0) return false;
        model.*(*real) = *value;
    } else {
        const auto value = parse_boolean(text);
        if (!value) return false;
        model.*(std::get<bool Model::*>(key.member)) = *value;
    }
    return true;
}

void apply_entry(LoadedModel& loaded, const IniFile& file, const IniEntry& entry) {
    if (entry.key == "model.family") {
        if (!model::set_family(loaded.model, entry.value)) {
            const auto names = model::family_names();
            const std::vector<std::string> known(names.begin(), names.end());
            throw ConfigError(fmt::format("{}: family '{}' is not one of {}{}", file.place(entry), entry.value, fmt::join(known, ", "),
                                          did_you_mean(entry.value, known)));
        }
        return;
    }
    if (entry.key == "model.rotary-scaling") {
        loaded.notes.push_back(fmt::format("{}: rotary scaling '{}' is not applied: positions are embedded as they are",
                                           file.place(entry), entry.value));
        return;
    }
    for (const PresetKey& key : kPresetKeys) {
        if (key.key != entry.key) continue;
        if (!assign(loaded.model, key, entry.value))
            throw ConfigError(fmt::format("{}: '{}' is no value of {}", file.place(entry), entry.value, entry.key));
        return;
    }
    for (const NestedKey& key : kNestedKeys) {
        if (key.key != entry.key) continue;
        const auto value = parse_integer(entry.value);
        if (!value || *value < 0) throw ConfigError(fmt::format("{}: '{}' is no value of {}", file.place(entry), entry.value, entry.key));
        key.member(loaded.model) = *value;
        return;
    }
    const auto keys = preset_keys();
    throw ConfigError(fmt::format("{}: unknown key '{}'{}", file.place(entry), entry.key, did_you_mean(entry.key, keys)));
}

LoadedModel read_preset(const fs::path& path, const std::string& origin) {
    LoadedModel loaded;
    loaded.origin = origin;
    loaded.model.name = path.stem().string();
    const IniFile file = read_ini(path);
    if (is_coarse(file)) {
        read_coarse(loaded, file);
        return loaded;
    }
    for (const IniEntry& entry : file.entries) apply_entry(loaded, file, entry);
    complete(loaded.model, path.string());
    return loaded;
}

LoadedModel read_huggingface(const fs::path& path) {
    std::ifstream stream(path, std::ios::binary);
    if (!stream || !fs::is_regular_file(path))
        throw ConfigError(fmt::format("model '{}': no such file, or it cannot be read", path.string()));
    std::ostringstream text;
    text << stream.rdbuf();
    const bool named_by_folder = path.filename() == "config.json" && path.has_parent_path();
    return import_huggingface(text.str(), (named_by_folder ? path.parent_path().filename() : path.stem()).string(),
                              path.string());
}

} // namespace

void complete(Model& m, const std::string& place) {
    const bool gpt2 = m.family == model::Family::gpt2;
    const auto require = [&](bool holds, const std::string& what) {
        if (!holds) throw ConfigError(fmt::format("{}: {}", place, what));
    };
    require(m.layers > 0 && m.hidden > 0 && m.heads > 0 && m.vocabulary > 0 && m.positions > 0,
            "a model needs layers, hidden, heads, vocabulary and positions, each at least 1");
    constexpr std::int64_t kMost = std::int64_t{1} << 24; // keeps every product of two sizes far inside 64 bits
    for (const std::int64_t size :
         {m.layers, m.hidden, m.heads, m.kv_heads, m.head_dim, m.feed_forward, m.vocabulary, m.positions}) {
        require(size <= kMost, fmt::format("a size of {} is out of range (at most {})", size, kMost));
    }
    require(m.layers <= 32767, fmt::format("{} layers are too many (at most 32767)", m.layers));
    if (m.kv_heads == 0) m.kv_heads = m.heads;
    if (m.feed_forward == 0) {
        require(gpt2, "feed-forward is missing");
        m.feed_forward = 4 * m.hidden; // GPT-2's default
    }
    if (m.latent.kv_rank > 0) m.head_dim = m.latent.plain_dim + m.latent.rotary_dim;
    if (m.head_dim == 0) {
        require(m.hidden % m.heads == 0,
                fmt::format("{} hidden features do not divide into {} heads; head-dim is missing", m.hidden, m.heads));
        m.head_dim = m.hidden / m.heads;
    }
    require(m.heads % m.kv_heads == 0,
            fmt::format("{} heads do not divide into {} groups of key/value heads", m.heads, m.kv_heads));
    if (gpt2) {
        require(m.kv_heads == m.heads && m.heads * m.head_dim == m.hidden,
                "gpt2 has as many key/value heads as heads, and heads * head-dim = hidden");
        m.qkv_bias = m.output_bias = m.mlp_bias = true;
    } else {
        require(m.head_dim % 2 == 0, fmt::format("rotary embedding needs an even head-dim, not {}", m.head_dim));
    }
    const model::Experts& e = m.experts;
    require(e.count == 0 || (e.per_token >= 1 && e.per_token <= e.count && e.feed_forward > 0 && e.every > 0),
            fmt::format("{} experts need a feed-forward, a positive experts.every, and 1 to {} of them per token", e.count, e.count));
    const model::LatentAttention& l = m.latent;
    require(l.kv_rank == 0 || (l.rotary_dim > 0 && l.plain_dim > 0 && l.value_dim > 0), "latent attention needs rotary-dim, plain-dim and value-dim");
    for (const std::int64_t size : {e.count, e.feed_forward, e.shared, l.kv_rank, l.query_rank, l.rotary_dim, l.plain_dim, l.value_dim})
        require(size <= kMost, fmt::format("a size of {} is out of range (at most {})", size, kMost));
    m.real_vocabulary = m.vocabulary;
}

LoadedModel load_model(const std::string& name_or_path, const SearchPaths& paths) {
    const fs::path path(name_or_path);
    const bool is_file_name = path.extension() == ".json" || path.extension() == ".cfg";
    const bool looks_like_path = is_file_name || name_or_path.find('/') != std::string::npos;
    std::error_code error;
    if (!looks_like_path) {
        if (const auto preset = paths.find("models", name_or_path)) return read_preset(*preset, "preset " + name_or_path);
    }
    if (fs::is_directory(path, error)) return read_huggingface(path / "config.json");
    if (!looks_like_path) {
        const auto names = paths.names("models");
        throw ConfigError(
            fmt::format("unknown model '{}'{} (zerosim list models)", name_or_path, did_you_mean(name_or_path, names)));
    }
    if (!fs::exists(path, error))
        throw ConfigError(fmt::format("model '{}': no such file, and nothing is downloaded: a model is a preset (zerosim list models) or a file here{}", name_or_path,
                                      did_you_mean(is_file_name ? path.stem().string() : path.filename().string(), paths.names("models"))));
    if (path.extension() == ".cfg") return read_preset(path, name_or_path);
    return read_huggingface(path);
}

} // namespace zerosim::config
