// A torchtitan job (TOML) as options: FSDP2 with what its sections training, parallelism, activation_checkpoint, compile and quantize say.
// Read between scenario file and environment (read_values), and for `unused` by resolve().
// Knows torchtitan's llama3 flavors by name; other models are named by --model.
#pragma once

#include "config/framework_file.hpp"

#include <filesystem>

namespace zerosim::config {

/// Throws ConfigError naming file, line and key, as read_accelerate_file does.
[[nodiscard]] FrameworkFile read_torchtitan_file(const std::filesystem::path& path);

}  // namespace zerosim::config
