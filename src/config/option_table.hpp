// The one table of options: command line, ZEROSIM_... variables and scenario files all read it, and so does --help.
// Used by config/ to read and check values, by cli/ for help and by tests for completeness.
// Does not hold values: see values.hpp.
#pragma once

#include <boost/program_options/options_description.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zerosim::config {

enum class Kind : std::uint8_t { text, choice, integer, real, boolean, bytes };

/// Subcommands as bits: an option names those that take it.
enum class Command : std::uint16_t {
    run = 1,
    simulate = 2,
    compare = 4,
    collectives = 8,
    calibrate = 16,
    report = 32,
    list = 64,
    show = 128,
    doctor = 256,
    sweep = 512
};
[[nodiscard]] std::string_view name(Command command);
[[nodiscard]] std::span<const Command> all_commands();

struct Option {
    std::string key;   // "train.micro-batch"
    std::string group; // heading in --help
    Kind kind = Kind::text;
    std::string default_value; // "" = follows from something else: see default_text
    std::string default_text;  // in --help where default_value is empty
    std::string help;
    std::uint16_t commands = 0;       // bits of Command
    std::vector<std::string> choices; // Kind::choice
    std::vector<std::string> planned; // values of the contract that are not built yet
    double minimum = 0, maximum = 0;  // Kind::integer, real
    bool repeatable = false;          // on the command line; the values are joined by ';'
    bool built = true;                // false: any value but the default is of the contract and not built yet
    [[nodiscard]] bool accepted_by(Command command) const { return (commands & static_cast<std::uint16_t>(command)) != 0; }
    /// "ZEROSIM_TRAIN_MICRO_BATCH"
    [[nodiscard]] std::string environment_name() const;
};

[[nodiscard]] const std::vector<Option>& option_table();
[[nodiscard]] const Option* find_option(std::string_view key);
[[nodiscard]] std::vector<std::string> option_keys(Command command);
/// The options of a subcommand as Boost describes them, in groups, with defaults: parses the command line and prints --help.
[[nodiscard]] boost::program_options::options_description describe_options(Command command);

/// Throws ConfigError "<place>: <key> '<value>' ..." unless `value` is one the option takes and that is built.
void check_value(const Option& option, const std::string& value, std::string_view place);

} // namespace zerosim::config
