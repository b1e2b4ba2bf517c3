// A config.json of Hugging Face with typed access; every error names the file and the key.
// Used by the importers of models.
// Knows no model.
#pragma once

#include "base/error.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace zerosim::config {

using nlohmann::json;

/// A config.json with typed access; every error names the file and the key.
class JsonKeys {
public:
    JsonKeys(json object, std::string place) : object_(std::move(object)), place_(std::move(place)) {}
    [[nodiscard]] bool has(const char* key) const { return object_.contains(key) && !object_.at(key).is_null(); }
    /// Said to be absent, which is not the same as unsaid.
    [[nodiscard]] bool is_null(const char* key) const { return object_.contains(key) && object_.at(key).is_null(); }
    [[nodiscard]] std::int64_t integer(const char* key) const {
        if (!has(key)) refuse(fmt::format("'{}' is missing", key));
        const json& value = object_.at(key);
        const bool whole =
            value.is_number() && std::floor(value.get<double>()) == value.get<double>() && std::abs(value.get<double>()) < 0x1p53;
        if (!whole || value.get<double>() < 0) refuse(fmt::format("'{}' is {}, not a count", key, value.dump()));
        return static_cast<std::int64_t>(value.get<double>());
    }
    [[nodiscard]] std::int64_t integer(const char* key, std::int64_t otherwise) const {
        return has(key) ? integer(key) : otherwise;
    }
    [[nodiscard]] double real(const char* key, double otherwise) const {
        if (!has(key)) return otherwise;
        if (!object_.at(key).is_number()) refuse(fmt::format("'{}' is {}, not a number", key, object_.at(key).dump()));
        return object_.at(key).get<double>();
    }
    [[nodiscard]] bool boolean(const char* key, bool otherwise) const {
        if (!has(key)) return otherwise;
        if (!object_.at(key).is_boolean()) refuse(fmt::format("'{}' is {}, not true or false", key, object_.at(key).dump()));
        return object_.at(key).get<bool>();
    }
    [[nodiscard]] std::string text(const char* key, const char* otherwise) const {
        if (!has(key)) return otherwise;
        if (!object_.at(key).is_string()) refuse(fmt::format("'{}' is {}, not a text", key, object_.at(key).dump()));
        return object_.at(key).get<std::string>();
    }
    [[nodiscard]] const json& at(const char* key) const { return object_.at(key); }
    [[noreturn]] void refuse(const std::string& what) const { throw ConfigError(fmt::format("{}: {}", place_, what)); }
    /// Refuses a key that is set to anything but `only`, because zerosim computes `only`.
    void require_text(const char* key, const char* otherwise, const std::vector<std::string>& only) const {
        const std::string value = text(key, otherwise);
        if (std::find(only.begin(), only.end(), value) == only.end()) {
            refuse(fmt::format("'{}' is '{}'; implemented: {}", key, value, fmt::join(only, ", ")));
        }
    }
    void require_boolean(const char* key, bool only) const {
        if (boolean(key, only) != only) refuse(fmt::format("'{}' is {}; only {} is implemented", key, !only, only));
    }

private:
    json object_;
    std::string place_;
};

}  // namespace zerosim::config
