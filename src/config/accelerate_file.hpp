// An accelerate YAML, and the Trainer's arguments that people keep beside it, as options.
// Read between scenario file and environment (read_values), and for `unused` by resolve().
// Names a DeepSpeed JSON at most; that one is read by deepspeed_file.
#pragma once

#include "config/framework_file.hpp"

#include <filesystem>

namespace zerosim::config {

/// Throws ConfigError naming file, line and key: not YAML, a section's unknown key, a value that is none of the key's, a contradiction,
/// a feature that is not planned.
[[nodiscard]] FrameworkFile read_accelerate_file(const std::filesystem::path& path);

}  // namespace zerosim::config
