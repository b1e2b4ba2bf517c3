// How rows of the option table are written: Table, and the sections that have files of their own.
// Included by the files that make the table.
// Not for readers of options: option_table.hpp.
#pragma once

#include "config/option_table.hpp"

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace zerosim::config {

constexpr std::uint16_t bits(std::initializer_list<Command> commands) {
    std::uint16_t all = 0;
    for (const Command command : commands) all = static_cast<std::uint16_t>(all | static_cast<std::uint16_t>(command));
    return all;
}
inline constexpr std::uint16_t kScenario = bits({Command::run, Command::simulate, Command::compare, Command::show, Command::sweep});
inline constexpr std::uint16_t kRun = bits({Command::run});
inline constexpr std::uint16_t kLaunch = bits({Command::run, Command::collectives, Command::calibrate});

/// Adds rows of one group; each call is one line of the table.
class Table {
public:
    void group(std::string heading, std::uint16_t commands) {
        heading_ = std::move(heading);
        commands_ = commands;
    }
    Option& text(std::string key, std::string value, std::string help) {
        return add(Kind::text, std::move(key), std::move(value), std::move(help));
    }
    Option& flag(std::string key, bool value, std::string help) {
        return add(Kind::boolean, std::move(key), value ? "true" : "false", std::move(help));
    }
    Option& integer(std::string key, std::string value, double minimum, double maximum, std::string help) {
        return range(add(Kind::integer, std::move(key), std::move(value), std::move(help)), minimum, maximum);
    }
    Option& real(std::string key, std::string value, double minimum, double maximum, std::string help) {
        return range(add(Kind::real, std::move(key), std::move(value), std::move(help)), minimum, maximum);
    }
    Option& bytes(std::string key, std::string value, std::string help) {
        return add(Kind::bytes, std::move(key), std::move(value), std::move(help));
    }
    Option& choice(std::string key, std::vector<std::string> choices, std::vector<std::string> planned, std::string help) {
        Option& option = add(Kind::choice, std::move(key), choices.front(), std::move(help));
        option.choices = std::move(choices);
        option.planned = std::move(planned);
        return option;
    }
    std::vector<Option> rows;

private:
    static Option& range(Option& option, double minimum, double maximum) {
        option.minimum = minimum;
        option.maximum = maximum;
        return option;
    }
    Option& add(Kind kind, std::string key, std::string value, std::string help) {
        Option option;
        option.key = std::move(key);
        option.group = heading_;
        option.kind = kind;
        option.default_value = std::move(value);
        option.help = std::move(help);
        option.commands = commands_;
        return rows.emplace_back(std::move(option));
    }
    std::string heading_;
    std::uint16_t commands_ = 0;
};

void strategy_options(Table& t);
void framework_files(Table& t);
void deepspeed_options(Table& t);
void allocator_options(Table& t);
void inference_options(Table& t);
void job_options(Table& t);

}  // namespace zerosim::config
