#include "base/error.hpp"
#include "base/nearest.hpp"
#include "config/accelerate_file.hpp"
#include "config/deepspeed_file.hpp"
#include "config/ini.hpp"
#include "config/torchtitan_file.hpp"
#include "config/values.hpp"

#include <fmt/core.h>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/parsers.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

namespace zerosim::config {
namespace {

namespace po = boost::program_options;

std::vector<std::string> all_keys() {
    std::vector<std::string> keys;
    for (const Option& option : option_table()) keys.push_back(option.key);
    return keys;
}

/// Words that say yes or no, also those that are refused for it.
bool says_yes_or_no(const std::string& word) {
    static constexpr std::array kWords{"true", "false", "True", "False", "TRUE", "FALSE", "yes", "no", "on", "off", "0", "1"};
    return std::ranges::find(kWords, word) != kWords.end();
}

/// `--explain`, `--explain false` and `--explain=false` are all meant: a switch takes the next word only if that says yes or no.
std::vector<std::string> with_switches_joined(const std::vector<std::string>& arguments) {
    std::vector<std::string> joined;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& word = arguments[i];
        const Option* option = word.starts_with("--") ? find_option(word.substr(2)) : nullptr;
        if (option == nullptr || option->kind != Kind::boolean) {
            joined.push_back(word);
            continue;
        }
        const bool has_value = i + 1 < arguments.size() && says_yes_or_no(arguments[i + 1]);
        joined.push_back(word + "=" + (has_value ? arguments[++i] : "true"));
    }
    return joined;
}

[[noreturn]] void refuse_option(Command command, const std::string& key) {
    const Option* option = find_option(key);
    if (option == nullptr) {
        const auto keys = option_keys(command);
        throw ConfigError(fmt::format("command line: unknown option '--{}'{}", key, did_you_mean(key, keys)));
    }
    std::string takers;
    for (const Command other : all_commands()) {
        if (option->accepted_by(other)) takers += (takers.empty() ? "" : ", ") + std::string(name(other));
    }
    throw ConfigError(fmt::format("command line: '{}' does not take --{}; it belongs to: {}", name(command), key, takers));
}

/// `-n`, as mpirun has it, or `-ranks`.
[[noreturn]] void refuse_word(Command command, const std::string& word) {
    const auto letters = word.find_first_not_of('-');
    const std::string key = letters == std::string::npos ? "" : word.substr(letters);
    if (letters != 1) refuse_option(command, key);
    throw ConfigError(fmt::format("command line: unknown option '{}': options begin with two dashes{}", word, did_you_mean(key, option_keys(command))));
}

std::vector<po::option> parse_words(Command command, const std::vector<std::string>& arguments) {
    using namespace po::command_line_style;
    const auto description = describe_options(command);
    try {
        return po::command_line_parser(with_switches_joined(arguments))
            .options(description)
            .style(allow_long | long_allow_adjacent | long_allow_next) // no abbreviations: allow_guessing is left out
            .allow_unregistered()
            .run()
            .options;
    } catch (const po::invalid_syntax& error) {
        throw ConfigError(fmt::format("command line: {} needs a value", error.get_option_name()));
    }
}

/// A name in one of the folders ("zero3-local") or a path.
std::filesystem::path scenario_path(const std::string& name, const std::vector<std::string>& folders) {
    std::error_code error;
    if (std::filesystem::is_regular_file(name, error)) return name;
    std::vector<std::string> names;
    for (const std::string& folder : folders) {
        const std::filesystem::path file = std::filesystem::path(folder) / (name + ".cfg");
        if (std::filesystem::is_regular_file(file, error)) return file;
        if (!std::filesystem::is_directory(folder, error)) continue;
        for (const auto& entry : std::filesystem::directory_iterator(folder, error))
            names.push_back(entry.path().stem().string());
    }
    std::sort(names.begin(), names.end());
    const char* const switches = name.find_first_of("./") == std::string::npos ? " (behind a switch such as --explain only true or false is its value)" : "";
    throw ConfigError(fmt::format("command line: no scenario file '{}'{}{}", name, did_you_mean(name, names), switches));
}

void apply_file(Values& values, const std::filesystem::path& path) {
    const IniFile file = read_ini(path);
    for (const IniEntry& entry : file.entries) {
        if (find_option(entry.key) == nullptr) {
            const auto keys = all_keys();
            throw ConfigError(fmt::format("{}: unknown key '{}'{}", file.place(entry), entry.key, did_you_mean(entry.key, keys)));
        }
        values.set(entry.key, entry.value, file.place(entry));
    }
}

/// Keys that this subcommand does not take are left alone: an exported variable serves all subcommands.
void apply_environment(Reading& reading, const Request& request) {
    std::vector<std::string> names;
    std::map<std::string, const Option*> options;
    for (const Option& option : option_table()) {
        names.push_back(option.environment_name());
        options.emplace(names.back(), &option);
    }
    for (const auto& [variable, value] : request.environment) {
        if (!variable.starts_with("ZEROSIM_")) continue;
        const auto found = options.find(variable);
        if (found == options.end()) {
            reading.warnings.push_back(fmt::format("environment: {} is not a variable of zerosim and has no effect{}", variable,
                                                   did_you_mean(variable, names)));
        } else if (found->second->accepted_by(request.command)) {
            reading.values.set(found->second->key, value, "environment " + variable);
        }
    }
}

/// A DeepSpeed JSON, named by scenario file, environment or command line, the last of these that names one.
void apply_deepspeed(Reading& reading, const Request& request, const CommandLine& line) {
    std::string path = reading.values.text("deepspeed");
    const auto variable = request.environment.find("ZEROSIM_DEEPSPEED");
    if (variable != request.environment.end() && find_option("deepspeed")->accepted_by(request.command)) path = variable->second;
    for (const Value& option : line.options)
        if (option.key == "deepspeed") path = option.value;
    if (path.empty()) return;
    for (const Value& value : read_deepspeed_file(path).values) reading.values.set(value.key, value.value, value.origin);
}

/// Files of accelerate and torchtitan, likewise.
void apply_framework_file(Reading& reading, const Request& request, const CommandLine& line, const std::string& key) {
    std::string path = reading.values.text(key);
    const Option& option = *find_option(key);
    const auto variable = request.environment.find(option.environment_name());
    if (variable != request.environment.end() && option.accepted_by(request.command)) path = variable->second;
    for (const Value& given : line.options)
        if (given.key == key) path = given.value;
    if (path.empty()) return;
    const FrameworkFile file = key == "accelerate" ? read_accelerate_file(path) : read_torchtitan_file(path);
    for (const Value& value : file.values) reading.values.set(value.key, value.value, value.origin);
}

} // namespace

CommandLine parse_command_line(Command command, const std::vector<std::string>& arguments) {
    CommandLine line;
    for (const po::option& option : parse_words(command, arguments)) {
        if (option.position_key != -1) {
            const std::string& word = option.value.front();
            if (word.size() > 1 && word.front() == '-') refuse_word(command, word);
            line.positionals.push_back(word);
            continue;
        }
        const Option* known = find_option(option.string_key);
        if (option.unregistered || known == nullptr || !known->accepted_by(command)) refuse_option(command, option.string_key);
        const bool next_word_is_option =
            option.original_tokens.size() > 1 && option.value.front().starts_with("--"); // Boost would take it
        if (next_word_is_option) throw ConfigError(fmt::format("command line: --{} needs a value", option.string_key));
        const auto first = std::ranges::find(line.options, option.string_key, &Value::key);
        if (first != line.options.end() && known->repeatable) {
            first->value += ';' + option.value.front();
            continue;
        }
        if (first != line.options.end())
            throw ConfigError(fmt::format("command line: --{} is given twice", option.string_key));
        line.options.push_back({option.string_key, option.value.front(), "command line"});
    }
    return line;
}

Reading read_values(const Request& request, const std::vector<std::string>& scenario_folders) {
    Reading reading;
    CommandLine line = parse_command_line(request.command, request.arguments);
    const bool takes_scenario =
        request.command == Command::run || request.command == Command::simulate || request.command == Command::show ||
        request.command == Command::sweep;
    if (takes_scenario && !line.positionals.empty()) {
        if (line.positionals.size() > 1) {
            throw ConfigError(fmt::format("command line: one scenario file at most, '{}' is a second", line.positionals[1]));
        }
        apply_file(reading.values, scenario_path(line.positionals.front(), scenario_folders));
        line.positionals.clear();
    }
    apply_deepspeed(reading, request, line);
    for (const char* key : {"accelerate", "torchtitan"}) apply_framework_file(reading, request, line, key);
    apply_environment(reading, request);
    for (const Value& option : line.options) reading.values.set(option.key, option.value, option.origin);
    reading.positionals = std::move(line.positionals);
    return reading;
}

} // namespace zerosim::config
