// A DeepSpeed JSON as options: what it sets, and what of it has no effect here.
// Read between scenario file and environment (read_values), and for `unused` by resolve(); accelerate files may name one too.
// "auto" leaves an option as it is, or sets it to auto where the Trainer derives it from the model.
#pragma once

#include "config/values.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace zerosim::config {

struct DeepSpeedFile {
    std::vector<Value> values;       // origin: "FILE: zero_optimization.stage"
    std::vector<std::string> unused; // keys that are understood and change nothing here
};

/// Throws ConfigError naming file and key: not JSON, an unknown key, a value that is none of the key's, a feature that is not planned.
[[nodiscard]] DeepSpeedFile read_deepspeed_file(const std::filesystem::path& path);

} // namespace zerosim::config
