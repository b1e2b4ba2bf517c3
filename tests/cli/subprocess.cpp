#include "cli/subprocess.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>
#include <utility>

#include <fmt/format.h>

namespace zerosim::testing {
namespace {

using Clock = std::chrono::steady_clock;

struct Pipe {
    int read_end = -1, write_end = -1;
    Pipe() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
        read_end = ends[0];
        write_end = ends[1];
    }
    ~Pipe() {
        close_read();
        close_write();
    }
    Pipe(const Pipe&) = delete;
    Pipe& operator=(const Pipe&) = delete;
    void close_read() { close_end(read_end); }
    void close_write() { close_end(write_end); }

private:
    static void close_end(int& end) {
        if (end >= 0) ::close(end);
        end = -1;
    }
};

/// In the child: a process group of its own (so that mpirun's ranks die with it), no stdin, output into the pipes.
[[noreturn]] void become(const std::vector<std::string>& command, const ProgramOptions& options, int output, int errors) {
    ::setpgid(0, 0);
    const int null = ::open("/dev/null", O_RDONLY);
    if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(errors, 2) < 0) ::_exit(127);
    if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) ::_exit(127);
    for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
    std::vector<char*> arguments;
    for (const auto& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
}

/// Appends what can be read; false at the end of the stream.
bool drain(int descriptor, std::string& text) {
    std::array<char, 65536> buffer;
    const ssize_t count = ::read(descriptor, buffer.data(), buffer.size());
    if (count > 0) text.append(buffer.data(), static_cast<std::size_t>(count));
    return count > 0 || (count < 0 && errno == EINTR);
}

/// Reads both streams until they end or the time is up; true if they ended.
bool collect(Pipe& output, Pipe& errors, Outcome& outcome, Clock::time_point deadline, const std::function<void()>& on_output) {
    std::array<pollfd, 2> streams{pollfd{output.read_end, POLLIN, 0}, pollfd{errors.read_end, POLLIN, 0}};
    while (streams[0].fd >= 0 || streams[1].fd >= 0) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (left <= 0) return false;
        if (::poll(streams.data(), streams.size(), static_cast<int>(left)) < 0 && errno != EINTR) return false;
        if (streams[0].revents != 0 && !drain(output.read_end, outcome.output)) streams[0].fd = -1;
        else if (streams[0].revents != 0) on_output();
        if (streams[1].revents != 0 && !drain(errors.read_end, outcome.errors)) streams[1].fd = -1;
    }
    return true;
}

}  // namespace

std::string Outcome::describe() const {
    return fmt::format("exit code {}{}\nstdout: {}\nstderr: {}\n", exit_code, timed_out ? " (timed out)" : "", output, errors);
}

Outcome run_program(const std::vector<std::string>& command, const ProgramOptions& options) {
    Pipe output, errors;
    const auto begin = Clock::now();
    const pid_t child = ::fork();
    if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (child == 0) become(command, options, output.write_end, errors.write_end);
    ::setpgid(child, child);
    output.close_write();
    errors.close_write();

    Outcome outcome;
    outcome.timed_out = !collect(output, errors, outcome, begin + options.timeout, [&] {
        if (options.on_output) options.on_output(child, outcome.output);
    });
    if (outcome.timed_out) ::kill(-child, SIGKILL);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    outcome.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    outcome.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return outcome;
}

namespace {

/// name=value of a process; empty where it may not be read or is gone.
std::vector<std::string> environment_of(const std::filesystem::path& process) {
    std::ifstream file(process / "environ", std::ios::binary);
    std::vector<std::string> entries;
    for (std::string entry; std::getline(file, entry, '\0');) entries.push_back(entry);
    return entries;
}

/// State letter and parent, from /proc/PID/stat (proc(5)); the name before them may hold spaces.
std::pair<char, pid_t> state_of(const std::filesystem::path& process) {
    std::ifstream file(process / "stat");
    std::string line;
    std::getline(file, line);
    const auto end = line.rfind(')');
    if (end == std::string::npos) return {'Z', 0};
    std::istringstream rest(line.substr(end + 1));
    char state = 'Z';
    pid_t parent = 0;
    rest >> state >> parent;
    return {state, parent};
}

template <class Visit>
void for_each_process(Visit visit) {
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", gone)) {
        const std::string name = entry.path().filename();
        if (std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c) != 0; })) visit(static_cast<pid_t>(std::stol(name)), entry.path());
    }
}

bool contains(const std::vector<std::string>& entries, const std::string& wanted) { return std::find(entries.begin(), entries.end(), wanted) != entries.end(); }

}  // namespace

pid_t process_of_rank(pid_t launcher, int rank) {
    pid_t found = 0;
    for_each_process([&](pid_t pid, const std::filesystem::path& path) {
        if (state_of(path).second == launcher && contains(environment_of(path), fmt::format("OMPI_COMM_WORLD_RANK={}", rank))) found = pid;
    });
    return found;
}

std::vector<pid_t> processes_with(const std::string& name, const std::string& value) {
    std::vector<pid_t> found;
    for_each_process([&](pid_t pid, const std::filesystem::path& path) {
        if (state_of(path).first != 'Z' && contains(environment_of(path), name + "=" + value)) found.push_back(pid);
    });
    return found;
}

std::string zerosim_path() { return ZEROSIM_PROGRAM; }

Outcome run_zerosim(const std::vector<std::string>& arguments, const ProgramOptions& options) {
    std::vector<std::string> command{zerosim_path()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run_program(command, options);
}

Outcome mpirun_zerosim(int ranks, const std::vector<std::string>& arguments, const ProgramOptions& options) {
    std::vector<std::string> command{"mpirun", "-n", std::to_string(ranks), zerosim_path()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    // As launch/mpirun-env.sh, for tests that are started without it. With ASan: leaks of Open MPI itself are not ours to report.
    ProgramOptions with{options};
    with.environment.insert({{"OMPI_MCA_rmaps_base_oversubscribe", "1"},
                             {"OMPI_MCA_hwloc_base_binding_policy", "none"},
                             {"OMPI_MCA_mpi_yield_when_idle", "1"},
                             {"OMPI_MCA_btl", "self,vader"},
                             {"OMPI_MCA_btl_vader_single_copy_mechanism", "none"},
                             {"OMPI_ALLOW_RUN_AS_ROOT", "1"},
                             {"OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1"},
                             {"ASAN_OPTIONS", "fast_unwind_on_malloc=0"},
                             {"LSAN_OPTIONS", "suppressions=" ZEROSIM_SOURCE_DIR "/tests/support/open_mpi.supp:print_suppressions=0"}});
    return run_program(command, with);
}

}  // namespace zerosim::testing
