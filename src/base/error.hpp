// The errors zerosim throws, each with the exit code of the contract (docs/design.md).
// Thrown everywhere; caught only in cli/ (and by the executor, to end the whole job).
// Does not print and does not exit.
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>

namespace zerosim {

enum class ExitCode : int {
    ok = 0,
    check_failed = 1,         // an asked check failed (--fail-if, compare --tolerance)
    usage = 2,                // usage or configuration
    environment = 3,          // no GPU, MPI, data file, memory, a rank lost, watchdog
    verification_failed = 4,  // numbers are wrong, NaN loss included
    bug = 70,
    interrupted = 130,
};

class Error : public std::runtime_error {
public:
    Error(ExitCode code, const std::string& what) : std::runtime_error(what), code_(code) {}
    [[nodiscard]] ExitCode code() const noexcept { return code_; }

private:
    ExitCode code_;
};

/// The user's fault: names the option or file:line, what is wrong and what would be right.
struct ConfigError : Error {
    explicit ConfigError(const std::string& what) : Error(ExitCode::usage, what) {}
};
/// The machine's fault: missing device, file, memory; a lost rank; the watchdog.
struct EnvironmentError : Error {
    explicit EnvironmentError(const std::string& what) : Error(ExitCode::environment, what) {}
};
/// The numbers are wrong: NaN loss, results that differ where they must not.
struct VerificationError : Error {
    explicit VerificationError(const std::string& what) : Error(ExitCode::verification_failed, what) {}
};
/// Our fault: a broken invariant. Never for user input.
struct BugError : Error {
    explicit BugError(const std::string& what) : Error(ExitCode::bug, what) {}
};

/// Throws BugError with file and line unless `condition` holds.
inline void check(bool condition, const char* what, std::source_location where = std::source_location::current()) {
    if (!condition) [[unlikely]]
        throw BugError(std::string(where.file_name()) + ":" + std::to_string(where.line()) + ": " + what);
}

}  // namespace zerosim
