// The subcommands: one function and one command_*.cpp each.
// Called by application.cpp, which holds the table of them, catches what they throw and turns it into an exit code.
// They print results on stdout; they do not exit and do not catch what they cannot handle.
#pragma once

#include "config/resolve.hpp"

#include <map>
#include <string>
#include <vector>

namespace zerosim::cli {

/// One call of the program, taken apart.
struct Invocation {
    config::Command command = config::Command::run;
    std::vector<std::string> arguments; // after the subcommand
    std::map<std::string, std::string> environment;
    config::SearchPaths paths;
    [[nodiscard]] config::Request request() const { return {command, arguments, environment}; }
};

// Each returns the exit code.
int command_run(const Invocation& invocation);
int command_simulate(const Invocation& invocation);
int command_sweep(const Invocation& invocation);
int command_compare(const Invocation& invocation);
int command_calibrate(const Invocation& invocation);
int command_collectives(const Invocation& invocation);
int command_report(const Invocation& invocation);
int command_list(const Invocation& invocation);
int command_show(const Invocation& invocation);
int command_doctor(const Invocation& invocation);

/// "zerosim: warning: ..." on stderr, one line each; notes without the word.
void print_remarks(const std::vector<std::string>& warnings, const std::vector<std::string>& notes);
/// Before the work that leads to it: EnvironmentError when `write_result` could not write there. Leaves the file as it is.
void require_writable(const std::string& output);
/// ConfigError where the file of `option` would overwrite the result.
void require_beside(const std::string& output, const std::string& file, const char* option);
/// The result of a command: to the file of `--output`, or to stdout. Where the file cannot be written, to stdout with an EnvironmentError.
void write_result(const std::string& output, const std::string& text);

} // namespace zerosim::cli
