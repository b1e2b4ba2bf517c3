// Values: what every option is set to and where that came from: defaults < preset < scenario file < environment < command line.
// Read by resolve(), by `zerosim show` and by subcommands that need no scenario.
// Does not know what values mean together: see resolve.hpp.
#pragma once

#include "config/option_table.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zerosim::config {

struct Value {
    std::string key;
    std::string value;
    std::string origin; // "default", "preset gpt2-124m", "scenario.cfg:12", "environment ZEROSIM_RANKS", "command line"
};

class Values {
public:
    /// All options of the table at their defaults.
    Values();
    /// A known key; checks the value (ConfigError).
    void set(const std::string& key, const std::string& value, const std::string& origin);
    /// Only where still at its default: presets, and what follows from other values.
    void set_default(const std::string& key, const std::string& value, const std::string& origin);

    [[nodiscard]] const Value& at(std::string_view key) const;
    [[nodiscard]] const std::string& text(std::string_view key) const { return at(key).value; }
    [[nodiscard]] std::int64_t integer(std::string_view key) const;
    [[nodiscard]] double real(std::string_view key) const;
    [[nodiscard]] bool boolean(std::string_view key) const;
    [[nodiscard]] std::int64_t bytes(std::string_view key) const;
    /// Set to anything by file, environment or command line.
    [[nodiscard]] bool given(std::string_view key) const;
    /// Throws ConfigError "<origin>: <key> '<value>' <what>".
    [[noreturn]] void refuse(std::string_view key, std::string_view what) const;
    [[nodiscard]] const std::vector<Value>& all() const { return values_; }

private:
    [[nodiscard]] Value& find(std::string_view key);
    std::vector<Value> values_; // in the order of the table
};

/// What is on a command line beside the subcommand's name.
struct CommandLine {
    std::vector<Value> options; // in order
    std::vector<std::string> positionals;
};
/// ConfigError for an unknown option (with the nearest), one of another subcommand, a missing value, one given twice.
[[nodiscard]] CommandLine parse_command_line(Command command, const std::vector<std::string>& arguments);

/// Everything that values are read from.
struct Request {
    Command command = Command::run;
    std::vector<std::string> arguments; // after the subcommand
    std::map<std::string, std::string> environment;
};
struct Reading {
    Values values;
    std::vector<std::string> positionals; // without the scenario file
    std::vector<std::string> warnings;    // unknown ZEROSIM_ variables
};
/// Layers scenario file (the first positional of run, simulate and show), environment and command line over the defaults.
/// Pure apart from reading the scenario file, which serves several subcommands: it may set keys that this one does not take.
[[nodiscard]] Reading read_values(const Request& request, const std::vector<std::string>& scenario_folders = {});

} // namespace zerosim::config
