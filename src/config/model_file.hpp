// Models from presets (configs/models/*.cfg), from files of the same form, and from Hugging Face config.json files.
// Used by resolve() and `zerosim list`.
// Does not pad the vocabulary and does not choose an implementation: options do.
#pragma once

#include "config/search_paths.hpp"
#include "model/model.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace zerosim::config {

struct LoadedModel {
    model::Model model;
    std::string origin;             // "preset gpt2-124m" or the file
    std::vector<std::string> notes; // what the file says and zerosim does not apply
};

/// `name_or_path`: a preset's name, a path of a .cfg file, of a config.json or of a folder that holds one.
/// ConfigError for an unknown name (with the nearest), an unreadable or damaged file, or a model that zerosim cannot represent.
[[nodiscard]] LoadedModel load_model(const std::string& name_or_path, const SearchPaths& paths);

/// The text of a config.json of one of model::family_names(); `place` names it in errors.
/// Dropout rates of the file are not taken (`train.dropout` is the only one) and scaled rotary embeddings are not applied: notes
/// say so.
[[nodiscard]] LoadedModel import_huggingface(std::string_view text, const std::string& name, const std::string& place);

/// Fills what follows from the rest (head_dim, kv_heads, feed-forward) and checks what must hold; ConfigError at `place`.
void complete(model::Model& model, const std::string& place);

} // namespace zerosim::config
