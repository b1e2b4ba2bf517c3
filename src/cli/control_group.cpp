#include "cli/control_group.hpp"

#include "base/units.hpp"

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

namespace zerosim::cli {
namespace {

namespace fs = std::filesystem;

/// How one version writes down memory and cores.
struct Files {
    const char *limit, *used, *unused_pages;
};
constexpr Files kVersion2{"memory.max", "memory.current", "inactive_file"};
constexpr Files kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"};

std::vector<std::string> words_of(const fs::path& path) {
    std::ifstream file(path);
    std::vector<std::string> words;
    for (std::string word; file >> word;) words.push_back(word);
    return words;
}

std::optional<std::int64_t> number_in(const fs::path& path) {
    const std::vector<std::string> words = words_of(path);
    return words.empty() ? std::nullopt : parse_integer(words.front()); // "max" is none
}

template <typename T>
void lower(std::optional<T>& least, T value) {
    least = least ? std::min(*least, value) : value;
}

void look_at_memory(const fs::path& folder, const Files& files, ControlGroupRoom& room) {
    const auto limit = number_in(folder / files.limit), used = number_in(folder / files.used);
    if (!limit || !used) return;
    const std::vector<std::string> stat = words_of(folder / "memory.stat"); // name value name value ...
    const auto at = std::ranges::find(stat, files.unused_pages);
    const std::int64_t unused = at == stat.end() || at + 1 == stat.end() ? 0 : parse_integer(*(at + 1)).value_or(0);
    lower(room.memory, std::max<std::int64_t>(0, *limit - std::max<std::int64_t>(0, *used - unused)));
}

void look_at_cores(const fs::path& folder, ControlGroupRoom& room) {
    std::vector<std::string> quota = words_of(folder / "cpu.max"); // "150000 100000": microseconds, of a period of so many
    for (const char* name : {"cpu.cfs_quota_us", "cpu.cfs_period_us"}) // version 1; a quota of -1 is none
        for (std::string& word : words_of(folder / name)) quota.push_back(std::move(word));
    if (quota.size() < 2) return;
    const auto time = parse_real(quota[0]), period = parse_real(quota[1]);
    if (time && period && *time > 0 && *period > 0) lower(room.cores, *time / *period);
}

/// The folder of the group and those above it. A container may see its own as the root, so the root is looked at in any case.
std::vector<fs::path> folders_of(const fs::path& mount, const std::string& group) {
    std::vector<fs::path> folders{mount};
    for (const fs::path& part : fs::path(group).relative_path()) folders.push_back(folders.back() / part);
    return folders;
}

} // namespace

ControlGroupRoom control_group_room(const fs::path& root) {
    ControlGroupRoom room;
    const fs::path mounts = root / "sys/fs/cgroup";
    std::ifstream file(root / "proc/self/cgroup");
    for (std::string line; std::getline(file, line);) { // "0::/a/b" (version 2), "5:memory:/a/b", "3:cpu,cpuacct:/a/b"
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string controllers = line.substr(first + 1, second - first - 1), group = line.substr(second + 1);
        for (const fs::path& folder : folders_of(mounts / controllers, group)) {
            look_at_memory(folder, controllers.empty() ? kVersion2 : kVersion1, room);
            look_at_cores(folder, room);
        }
    }
    return room;
}

} // namespace zerosim::cli
