// JSON files as their writers meant them: a syntax error or a key that stands twice in one object is refused with its line.
// Called by the importers of Hugging Face's and DeepSpeed's files.
// Knows no keys.
#pragma once

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace zerosim::config {

/// Throws ConfigError "<place>:<line>: ...". Comments are accepted where `comments` is true, as DeepSpeed's readers do.
[[nodiscard]] nlohmann::json parse_json(std::string_view text, const std::string& place, bool comments = false);

}  // namespace zerosim::config
