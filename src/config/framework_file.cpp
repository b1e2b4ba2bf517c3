#include "config/framework_file.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

namespace zerosim::config {

std::string FrameworkFileBuilder::place(int line, std::string_view key) const {
    return line > 0 ? fmt::format("{}:{}: {}", name_, line, key) : fmt::format("{}: {}", name_, key);
}

const Value* FrameworkFileBuilder::find(std::string_view option) const {
    const auto found = std::ranges::find(file_.values, std::string(option), &Value::key);
    return found == file_.values.end() ? nullptr : &*found;
}

void FrameworkFileBuilder::set(std::string_view option, std::string value, const std::string& where) {
    const Value* const before = find(option);
    if (before == nullptr) {
        file_.values.push_back({std::string(option), std::move(value), where});
    } else if (before->value != value) {
        throw ConfigError(fmt::format("{} means {} {}, but {} says {}", where, option, value, before->origin, before->value));
    }
}

void FrameworkFileBuilder::set_default(std::string_view option, std::string value, const std::string& where) {
    if (find(option) == nullptr) set(option, std::move(value), where);
}

std::string one_of(const std::string& place, const std::string& value, const std::vector<std::string>& names) {
    if (std::ranges::find(names, value) != names.end()) return value;
    throw ConfigError(fmt::format("{} '{}' is none of {}{}", place, value, fmt::join(names, ", "), did_you_mean(value, names)));
}

std::string flag_text(const std::string& place, const std::string& value) {
    std::string low;
    for (const char c : value) low += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (low == "true" || low == "yes" || low == "on" || low == "1") return "true";
    if (low == "false" || low == "no" || low == "off" || low == "0") return "false";
    throw ConfigError(fmt::format("{} '{}' is neither true nor false", place, value));
}

}  // namespace zerosim::config
