#include "cli/fail_if.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"
#include "base/units.hpp"
#include "report/json.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <vector>

namespace zerosim::cli {
namespace {

/// Dotted names of all numbers in the report's JSON, arrays left out.
void collect(const nlohmann::json& node, const std::string& prefix, std::vector<std::pair<std::string, double>>& fields) {
    for (const auto& [key, value] : node.items()) {
        const std::string name = prefix.empty() ? key : prefix + "." + key;
        if (value.is_object()) collect(value, name, fields);
        else if (value.is_number()) fields.emplace_back(name, value.get<double>());
    }
}

double threshold(const std::string& text, const std::string& condition) {
    if (const auto number = parse_real(text)) return *number;
    if (const auto bytes = parse_bytes(text)) return static_cast<double>(*bytes);
    throw ConfigError(fmt::format("fail-if '{}': '{}' is neither a number nor a size such as 80GiB", condition, text));
}

std::string trimmed(std::string text) {
    const auto blank = [](char c) { return c == ' '; };
    while (!text.empty() && blank(text.back())) text.pop_back();
    while (!text.empty() && blank(text.front())) text.erase(text.begin());
    return text;
}

struct Condition {
    std::string field;
    char comparison = '>';
    double limit = 0;
};

Condition parse(const std::string& text) {
    const auto at = text.find_first_of("<>");
    if (at == std::string::npos || at == 0)
        throw ConfigError(fmt::format("fail-if '{}' has no comparison; write FIELD>VALUE or FIELD<VALUE, as in memory.peak_allocated_bytes>80GiB", text));
    return {trimmed(text.substr(0, at)), text[at], threshold(trimmed(text.substr(at + 1)), text)};
}

}  // namespace

void check_condition(const std::string& condition) { (void)parse(condition); }

bool condition_holds(const std::string& condition, const analysis::RunReport& report) {
    const auto [field, comparison, limit] = parse(condition);
    std::vector<std::pair<std::string, double>> fields;
    collect(nlohmann::json::parse(report::render_json(report)), "", fields);
    std::vector<std::string> names;
    for (const auto& [name, value] : fields) {
        if (name == field) return comparison == '>' ? value > limit : value < limit;
        names.push_back(name);
    }
    throw ConfigError(fmt::format("fail-if '{}': the report has no number '{}'{}", condition, field, did_you_mean(field, names)));
}

}  // namespace zerosim::cli
