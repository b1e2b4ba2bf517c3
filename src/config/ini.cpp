#include "config/ini.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

#include <fstream>
#include <map>
#include <sstream>

namespace zerosim::config {
namespace {

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r";
    const auto begin = text.find_first_not_of(blank);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(blank) - begin + 1);
}

/// A `#` at the line's begin or after a blank begins a comment, so that paths may hold one.
std::string_view without_comment(std::string_view line) {
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (line[i] == '#' && (i == 0 || line[i - 1] == ' ' || line[i - 1] == '\t')) return line.substr(0, i);
    }
    return line;
}

} // namespace

std::string IniFile::place(const IniEntry& entry) const { return fmt::format("{}:{}", name, entry.line); }

IniFile parse_ini(const std::string& name, std::string_view text) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF"; // Windows' editors write one
    if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
    if (text.find('\0') != std::string_view::npos) throw ConfigError(fmt::format("{}: holds zero bytes: not a text file in UTF-8", name));
    IniFile file{name, {}};
    std::map<std::string, int> lines;
    std::string section;
    int number = 0;
    while (!text.empty()) {
        const auto end = text.find('\n');
        const std::string_view line = trimmed(without_comment(text.substr(0, end)));
        text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
        ++number;
        if (line.empty()) continue;
        if (line.front() == '[') {
            if (line.back() != ']' || line.size() < 3)
                throw ConfigError(fmt::format("{}:{}: '{}' is not a [section]", name, number, line));
            section = std::string(trimmed(line.substr(1, line.size() - 2))) + ".";
            continue;
        }
        const auto equals = line.find('=');
        const std::string_view entry_name =
            equals == std::string_view::npos ? std::string_view{} : trimmed(line.substr(0, equals));
        if (entry_name.empty()) throw ConfigError(fmt::format("{}:{}: '{}' is not 'name = value'", name, number, line));
        IniEntry entry{section + std::string(entry_name), std::string(trimmed(line.substr(equals + 1))), number};
        const auto [known, inserted] = lines.emplace(entry.key, number);
        if (!inserted)
            throw ConfigError(
                fmt::format("{}:{}: '{}' is given twice, first in line {}", name, number, entry.key, known->second));
        file.entries.push_back(std::move(entry));
    }
    return file;
}

IniFile read_ini(const std::filesystem::path& path) {
    std::ifstream stream(path, std::ios::binary);
    std::ostringstream text;
    if (stream.is_open() && std::filesystem::is_regular_file(path))
        text << stream.rdbuf();
    else
        throw ConfigError(fmt::format("{}: no such file, or it cannot be read", path.string()));
    return parse_ini(path.string(), text.str());
}

} // namespace zerosim::config
