// INI text with the line of every entry: `[section]`, then `name = value`; `#` begins a comment.
// Read by scenario files, model and cluster presets, so that every error can name file:line.
// Does not know which names are valid.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace zerosim::config {

struct IniEntry {
    std::string key; // "section.name", or "name" before the first section
    std::string value;
    int line = 0;
};

struct IniFile {
    std::string name; // as given, for messages
    std::vector<IniEntry> entries;
    /// "file:12"
    [[nodiscard]] std::string place(const IniEntry& entry) const;
};

/// Throws ConfigError with name:line for a line that is neither section, entry, comment nor blank, and for a repeated key.
[[nodiscard]] IniFile parse_ini(const std::string& name, std::string_view text);
/// Throws ConfigError when the file cannot be read.
[[nodiscard]] IniFile read_ini(const std::filesystem::path& path);

} // namespace zerosim::config
