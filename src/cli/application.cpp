#include "cli/application.hpp"

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/nearest.hpp"
#include "cli/commands.hpp"

#include <fmt/core.h>
#include <fmt/ostream.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <sstream>
#include <string_view>
#include <system_error>

namespace zerosim::cli {
namespace {

using config::Command;

struct CommandRow {
    Command command;
    int (*function)(const Invocation&);
    std::string_view arguments; // positional
    std::string_view summary;
    std::string_view example;
};

constexpr std::array kCommands{
    CommandRow{Command::run, command_run, "[SCENARIO]", "train for real: ranks as threads, or one a process under mpirun",
               "mpirun -n 4 zerosim run --model gpt-mini --strategy.zero-stage 3 --train.steps 10"},
    CommandRow{Command::simulate, command_simulate, "[SCENARIO]", "predict memory, bytes sent and time for a cluster that is not here",
               "zerosim simulate --model llama3.1-8b --cluster h100-sxm --ranks 64 --strategy.zero-stage 3"},
    CommandRow{Command::sweep, command_sweep, "[SCENARIO]", "simulate over lists of ranks or of any option: scaling tables and curves",
               "zerosim sweep --model gpt3-175b --cluster a100-sxm-80gb --strategy.zero-stage 3 --over ranks=64..1024 --svg scaling.svg"},
    CommandRow{Command::compare, command_compare, "A B [...]", "put results or strategies side by side",
               "zerosim compare stage0.json stage3.json --tolerance 0.05"},
    CommandRow{Command::collectives, command_collectives, "",
               "time and check collectives: nccl-tests' table, measured or predicted",
               "mpirun -np 4 zerosim collectives --kind all-gather --minimum-bytes 1K"},
    CommandRow{Command::calibrate, command_calibrate, "", "measure this machine and store it as the cluster 'local'",
               "mpirun -np 4 zerosim calibrate"},
    CommandRow{Command::report, command_report, "RESULT.json", "render a stored result again",
               "zerosim report result.json --format csv"},
    CommandRow{Command::list, command_list, "[models|clusters|scenarios|kernels]",
               "name the presets, or the kernels a schedule can hold", "zerosim list models"},
    CommandRow{Command::show, command_show, "[SCENARIO]",
               "print every value with its origin, the planned operations, or who owns what",
               "zerosim show --model gpt2-124m --ranks 4 --strategy.zero-stage 3 --partition"},
    CommandRow{Command::doctor, command_doctor, "", "say what this build and this machine can do, and what is missing",
               "zerosim doctor"},
};

const CommandRow* find_command(std::string_view text) {
    const auto found =
        std::find_if(kCommands.begin(), kCommands.end(), [&](const CommandRow& row) { return name(row.command) == text; });
    return found == kCommands.end() ? nullptr : &*found;
}

const CommandRow& require_command(const std::string& text) {
    if (const CommandRow* row = find_command(text)) return *row;
    std::vector<std::string> names{"help"};
    for (const CommandRow& row : kCommands) names.emplace_back(name(row.command));
    throw ConfigError(fmt::format("unknown subcommand '{}'{}", text, did_you_mean(text, names)));
}

std::string overview() {
    std::string text =
        "usage: zerosim COMMAND [options]\n\nDistributed training under ZeRO 0 to 3: plan it, simulate it, run it, see what "
        "every device holds and sends.\n\n";
    for (const CommandRow& row : kCommands) text += fmt::format("  {:<12} {}\n", name(row.command), row.summary);
    text +=
        "\n  help COMMAND options of a command, with defaults\n  --version    the version\n\n"
        "Options may also be given as ZEROSIM_... variables (ZEROSIM_TRAIN_STEPS for --train.steps) and in a scenario file\n"
        "([train], then steps = 5). The command line wins over variables, these over the file, and the file over presets.\n";
    return text;
}

std::string help_of(const CommandRow& row) {
    std::ostringstream options;
    options << config::describe_options(row.command);
    return fmt::format("usage: zerosim {} {}{}[options]\n\n{}.\n\nexample: {}\n{}", name(row.command), row.arguments,
                       row.arguments.empty() ? "" : " ", row.summary, row.example, options.str());
}

std::map<std::string, std::string> environment_map(const char* const* environment) {
    std::map<std::string, std::string> map;
    for (; environment != nullptr && *environment != nullptr; ++environment) {
        const std::string_view entry = *environment;
        const auto equals = entry.find('=');
        if (equals != std::string_view::npos) map.emplace(entry.substr(0, equals), entry.substr(equals + 1));
    }
    return map;
}

/// `mpirun -n 4 zerosim simulate` answers four times.
void warn_of_copies(Command command) {
    constexpr std::array kOfOneProcess{Command::simulate, Command::sweep, Command::compare, Command::show, Command::report, Command::list};
    if (std::ranges::find(kOfOneProcess, command) == kOfOneProcess.end()) return;
    const char *processes = std::getenv("OMPI_COMM_WORLD_SIZE"), *rank = std::getenv("OMPI_COMM_WORLD_RANK");
    if (processes == nullptr || rank == nullptr || std::string_view(rank) != "0" || std::string_view(processes) == "1") return;
    print_remarks({fmt::format("mpirun started {} processes, and each does all of '{}' alone: leave mpirun out; --ranks says how many ranks a job has", processes, name(command))}, {});
}

bool asks_help(const std::string& word) { return word == "--help" || word == "-h"; }

int dispatch(const std::vector<std::string>& words, const char* const* environment) {
    if (words.empty()) {
        fmt::print(stderr, "{}", overview());
        return static_cast<int>(ExitCode::usage);
    }
    if (words[0] == "--version" || words[0] == "version") {
        fmt::print("{}\n", version_line());
        return 0;
    }
    if (asks_help(words[0]) || words[0] == "help") {
        fmt::print("{}", words.size() > 1 ? help_of(require_command(words[1])) : overview());
        return 0;
    }
    const CommandRow& row = require_command(words[0]);
    const std::vector<std::string> arguments(words.begin() + 1, words.end());
    if (std::any_of(arguments.begin(), arguments.end(), asks_help)) {
        fmt::print("{}", help_of(row));
        return 0;
    }
    warn_of_copies(row.command);
    return row.function({row.command, arguments, environment_map(environment), config::default_search_paths()});
}

} // namespace

std::string version_line() { return "zerosim " ZEROSIM_VERSION; }

Failure describe_failure(const std::exception_ptr& error) {
    try {
        std::rethrow_exception(error);
    } catch (const BugError& bug) {
        return {static_cast<int>(bug.code()),
                fmt::format("{}\n  hint: this is a bug in zerosim; please report it with the command line", bug.what())};
    } catch (const Error& known) {
        return {static_cast<int>(known.code()), known.what()};
    } catch (const std::bad_alloc&) {
        return {static_cast<int>(ExitCode::environment), "not enough memory"};
    } catch (const std::system_error& system) { // a full disk behind stdout, no more threads, a folder that may not be read
        return {static_cast<int>(ExitCode::environment), system.what()};
    } catch (const std::exception& other) {
        return {static_cast<int>(ExitCode::bug),
                fmt::format("{}\n  hint: this is a bug in zerosim; please report it with the command line", other.what())};
    }
}

int run_application(int count, const char* const* words, const char* const* environment) {
    const std::vector<std::string> arguments(words + std::min(count, 1), words + count);
    try {
        const int code = dispatch(arguments, environment);
        if (std::fflush(stdout) != 0) throw EnvironmentError("the result cannot be written to stdout");
        return code;
    } catch (...) {
        const Failure failure = describe_failure(std::current_exception());
        const Log log({}, [](std::string_view line) { fmt::print(stderr, "{}\n", line); });
        log.error(failure.text);
        const bool known = !arguments.empty() && find_command(arguments[0]) != nullptr;
        if (failure.code == static_cast<int>(ExitCode::usage)) {
            fmt::print(stderr, "  hint: zerosim help{} lists what is accepted\n", known ? " " + arguments[0] : "");
        }
        return failure.code;
    }
}

} // namespace zerosim::cli
