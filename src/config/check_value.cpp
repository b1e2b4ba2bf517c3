#include "base/error.hpp"
#include "base/nearest.hpp"
#include "base/units.hpp"
#include "config/option_table.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace zerosim::config {
namespace {

bool contains(const std::vector<std::string>& list, const std::string& value) {
    return std::find(list.begin(), list.end(), value) != list.end();
}

/// What would be right, or "" if the value is.
std::string expected(const Option& option, const std::string& value) {
    switch (option.kind) {
        case Kind::text: return "";
        case Kind::choice:
            if (contains(option.choices, value)) return "";
            return fmt::format("one of {}{}", fmt::join(option.choices, ", "), did_you_mean(value, option.choices));
        case Kind::boolean: return parse_boolean(value) ? "" : "true or false";
        case Kind::bytes: return parse_bytes(value) ? "" : "a size, such as 4096, 128M (MiB) or 128MB";
        case Kind::integer: {
            const auto number = parse_integer(value);
            const bool inside =
                number && static_cast<double>(*number) >= option.minimum && static_cast<double>(*number) <= option.maximum;
            return inside ? "" : fmt::format("an integer from {:.0f} to {:.0f}", option.minimum, option.maximum);
        }
        case Kind::real: {
            const auto number = parse_real(value);
            const bool inside = number && *number >= option.minimum && *number <= option.maximum;
            return inside ? "" : fmt::format("a number from {:g} to {:g}", option.minimum, option.maximum);
        }
    }
    return "";
}

} // namespace

void check_value(const Option& option, const std::string& value, std::string_view place) {
    if (value.empty() && option.default_value.empty()) return; // "" = as if it were not given
    const std::string right = expected(option, value);
    if (!right.empty()) throw ConfigError(fmt::format("{}: {} '{}' is not {}", place, option.key, value, right));
    if (contains(option.planned, value) || (!option.built && value != option.default_value)) {
        throw ConfigError(fmt::format("{}: {} '{}' is not implemented yet", place, option.key, value));
    }
}

} // namespace zerosim::config
