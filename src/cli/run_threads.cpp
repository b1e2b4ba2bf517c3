#include "base/error.hpp"
#include "cli/run_ranks.hpp"
#include "cli/signals.hpp"
#include "schedule/dump.hpp"

#include <fmt/core.h>

#include <cstdlib>

namespace zerosim::cli {

std::vector<exec::RankResult> run_as_threads(RunInput input) {
    const schedule::Schedule& schedule = input.schedule;
    std::vector<comm::Progress> progress(static_cast<std::size_t>(schedule.ranks));
    std::vector<std::string> labels, ops;
    for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) labels.push_back(fmt::format("[rank {}/{}]", rank, schedule.ranks));
    const schedule::Program& program = schedule.program_of(0);
    for (std::size_t i = 0; i < program.ops.size(); ++i) ops.push_back(schedule::describe(schedule, program, OpId{i}));
    const SignalReports signals(std::move(labels), std::move(ops), progress);
    input.options.interrupted = &SignalReports::interrupted();
    // A thread that hangs cannot be ended: the process is.
    input.options.on_stuck = [](const std::string& what) {
        fmt::print(stderr, "zerosim: error: {}\n", what);
        std::_Exit(static_cast<int>(ExitCode::environment));
    };
    input.options.leave = [] { std::_Exit(static_cast<int>(ExitCode::environment)); };
    return exec::run_local(schedule, input.host, input.options, progress);
}

}  // namespace zerosim::cli
