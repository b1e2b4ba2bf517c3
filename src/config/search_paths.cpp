#include "config/search_paths.hpp"

#include <algorithm>

namespace zerosim::config {
namespace {

namespace fs = std::filesystem;

bool is_folder(const fs::path& path) {
    std::error_code error;
    return fs::is_directory(path, error);
}

void add(std::vector<fs::path>& paths, const fs::path& path) {
    if (is_folder(path / "models") && std::find(paths.begin(), paths.end(), path) == paths.end()) paths.push_back(path);
}

} // namespace

std::optional<fs::path> SearchPaths::find(const std::string& folder, const std::string& name) const {
    for (const fs::path& root : configs) {
        const fs::path file = root / folder / (name + ".cfg");
        std::error_code error;
        if (fs::is_regular_file(file, error)) return file;
    }
    return std::nullopt;
}

std::vector<std::string> SearchPaths::names(const std::string& folder) const {
    std::vector<std::string> found;
    for (const fs::path& root : configs) {
        if (!is_folder(root / folder)) continue;
        for (const fs::directory_entry& entry : fs::directory_iterator(root / folder)) {
            if (entry.path().extension() == ".cfg") found.push_back(entry.path().stem().string());
        }
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
}

std::optional<fs::path> SearchPaths::docs() const {
    for (const fs::path& root : configs) {
        const fs::path path = root.parent_path() / "docs";
        if (is_folder(path)) return path;
    }
    return std::nullopt;
}

SearchPaths default_search_paths() {
    SearchPaths paths;
    std::error_code error;
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    if (!error) {
        add(paths.configs, program.parent_path().parent_path() / "share/zerosim/configs");
        for (fs::path above = program.parent_path(); above.has_relative_path(); above = above.parent_path())
            add(paths.configs, above / "configs");
    }
#ifdef ZEROSIM_SOURCE_CONFIGS
    add(paths.configs, ZEROSIM_SOURCE_CONFIGS);
    add(paths.configs, ZEROSIM_INSTALL_CONFIGS);
#endif
    return paths;
}

} // namespace zerosim::config
