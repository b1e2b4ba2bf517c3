// The program around its subcommands: help, version, the one place where errors become a message and an exit code.
// Called by main and, for ranks that fail under MPI, by command_run.
// Does no work of its own.
#pragma once

#include <exception>
#include <string>

namespace zerosim::cli {

/// An error as the user meets it: exit code of the contract (docs/design.md) and text with a hint where there is one.
struct Failure {
    int code = 70;
    std::string text;
};
[[nodiscard]] Failure describe_failure(const std::exception_ptr& error);

[[nodiscard]] std::string version_line();
/// Runs the subcommand that the words name, prints what goes wrong, returns the exit code.
int run_application(int count, const char* const* words, const char* const* environment);

} // namespace zerosim::cli
