// run_program: a command as a subprocess, with its exit code, output and a time limit. run_zerosim, mpirun_zerosim: ours.
// Used by tests of the command line, of faults and of MPI runs; every test sees what a user sees.
// Does not use a shell: arguments are passed as they are. stdin is empty.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace zerosim::testing {

struct Outcome {
    int exit_code = -1;       // 128 + signal when a signal ended it
    bool timed_out = false;   // then it and all its children have been killed
    std::string output;       // stdout
    std::string errors;       // stderr
    double seconds = 0;
    /// "exit code 2\nstdout: ...\nstderr: ...": what to stream into an assertion.
    [[nodiscard]] std::string describe() const;
};

struct ProgramOptions {
    std::chrono::milliseconds timeout{60'000};
    std::map<std::string, std::string> environment{};   // added to the test's own
    std::string directory{};                            // working directory; empty = the test's
    /// Called after every piece of output with the process and all of stdout so far: the place to send a signal from.
    std::function<void(pid_t, const std::string&)> on_output{};
};

/// Throws std::system_error when the program cannot be started.
[[nodiscard]] Outcome run_program(const std::vector<std::string>& command, const ProgramOptions& options = {});
/// The process that mpirun `launcher` started as rank `rank`; 0 if there is none.
[[nodiscard]] pid_t process_of_rank(pid_t launcher, int rank);
/// Processes that carry this variable in their environment and are not zombies: what a test has left behind.
[[nodiscard]] std::vector<pid_t> processes_with(const std::string& name, const std::string& value);
/// The program of this build.
[[nodiscard]] std::string zerosim_path();
[[nodiscard]] Outcome run_zerosim(const std::vector<std::string>& arguments, const ProgramOptions& options = {});
/// `mpirun -n ranks zerosim arguments...`, oversubscribed, in an environment that works as root and in containers.
[[nodiscard]] Outcome mpirun_zerosim(int ranks, const std::vector<std::string>& arguments, const ProgramOptions& options = {});

}  // namespace zerosim::testing
