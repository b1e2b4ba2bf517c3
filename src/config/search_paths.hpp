// Where presets and the default text lie: the source tree's configs/, or share/zerosim/configs of an installation.
// Used by everything in config/ that looks up a name; cli/ passes the default.
// Does not read files.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace zerosim::config {

/// Directories that hold models/, clusters/ and scenarios/, in order of search.
struct SearchPaths {
    std::vector<std::filesystem::path> configs;
    /// The file configs/<folder>/<name>.cfg, if there is one.
    [[nodiscard]] std::optional<std::filesystem::path> find(const std::string& folder, const std::string& name) const;
    /// All names in <folder>, sorted.
    [[nodiscard]] std::vector<std::string> names(const std::string& folder) const;
    /// The project's own docs, beside configs/: the default text of `train.data`.
    [[nodiscard]] std::optional<std::filesystem::path> docs() const;
};

/// Beside the program (installed: ../share/zerosim/configs; a build folder: configs/ of a folder above), then where it was
/// built and where it is installed.
[[nodiscard]] SearchPaths default_search_paths();

} // namespace zerosim::config
