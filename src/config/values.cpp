#include "config/values.hpp"

#include "base/error.hpp"
#include "base/units.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::config {

Values::Values() {
    for (const Option& option : option_table()) values_.push_back({option.key, option.default_value, "default"});
}

Value& Values::find(std::string_view key) {
    const auto found = std::find_if(values_.begin(), values_.end(), [&](const Value& value) { return value.key == key; });
    check(found != values_.end(), "a key of the option table");
    return *found;
}

const Value& Values::at(std::string_view key) const { return const_cast<Values*>(this)->find(key); }

void Values::set(const std::string& key, const std::string& value, const std::string& origin) {
    const Option* option = find_option(key);
    check(option != nullptr, "a key of the option table");
    check_value(*option, value, origin);
    Value& entry = find(key);
    entry.value = value;
    entry.origin = origin;
}

void Values::set_default(const std::string& key, const std::string& value, const std::string& origin) {
    if (!given(key)) set(key, value, origin);
}

bool Values::given(std::string_view key) const { return at(key).origin != "default"; }

std::int64_t Values::integer(std::string_view key) const {
    const auto number = parse_integer(text(key));
    check(number.has_value(), "a checked integer option");
    return *number;
}

double Values::real(std::string_view key) const {
    const auto number = parse_real(text(key));
    check(number.has_value(), "a checked real option");
    return *number;
}

bool Values::boolean(std::string_view key) const { return parse_boolean(text(key)).value_or(false); }

std::int64_t Values::bytes(std::string_view key) const {
    const auto number = parse_bytes(text(key));
    check(number.has_value(), "a checked size option");
    return *number;
}

void Values::refuse(std::string_view key, std::string_view what) const {
    const Value& value = at(key);
    throw ConfigError(fmt::format("{}: {} '{}' {}", value.origin, value.key, value.value, what));
}

} // namespace zerosim::config
