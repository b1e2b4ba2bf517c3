// What a framework's own configuration file says, as options: values with their origin, and keys without effect here.
// Made by the readers of accelerate and torchtitan files; read by read_values() and resolve().
// Reads no file.
#pragma once

#include "config/values.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace zerosim::config {

struct FrameworkFile {
    std::vector<Value> values;         // origin: "FILE:12: fsdp_config.fsdp_version"
    std::vector<std::string> unused;   // keys that change nothing here, and those that are not understood
};

/// Collects a FrameworkFile; errors name file, line and key.
class FrameworkFileBuilder {
public:
    explicit FrameworkFileBuilder(std::string name) : name_(std::move(name)) {}
    /// A place in the file for messages and origins.
    [[nodiscard]] std::string place(int line, std::string_view key) const;
    /// Two keys that set one option must agree.
    void set(std::string_view option, std::string value, const std::string& place);
    /// Unless the file itself sets it.
    void set_default(std::string_view option, std::string value, const std::string& place);
    [[nodiscard]] const Value* find(std::string_view option) const;
    void unused(std::string key) { file_.unused.push_back(std::move(key)); }
    [[nodiscard]] FrameworkFile finish() { return std::move(file_); }
    [[nodiscard]] const std::string& name() const { return name_; }

private:
    std::string name_;
    FrameworkFile file_;
};

/// One of `names`, or a ConfigError with the nearest.
[[nodiscard]] std::string one_of(const std::string& place, const std::string& value, const std::vector<std::string>& names);
/// "true", "false", "yes", "no", "on", "off" in any case -> "true" or "false".
[[nodiscard]] std::string flag_text(const std::string& place, const std::string& value);

}  // namespace zerosim::config
