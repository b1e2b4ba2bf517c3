#include "base/error.hpp"
#include "base/log.hpp"
#include "cli/machine.hpp"
#include "cli/run/run_ranks.hpp"
#include "cli/signals.hpp"
#include "exec/run_error.hpp"
#include "exec/step_gate.hpp"
#include "schedule/dump.hpp"

#include <fmt/core.h>

#include <cstdlib>

namespace zerosim::cli {

namespace {

/// On threads of its own: those of the steps do not run yet, or no longer.
double link_reference(int ranks, double timeout) {
    double seconds = 0;
    RankTeam(ranks, timeout).run([&](TeamRank& rank) {
        const double found = link_reference_seconds(rank);
        if (rank.rank() == 0) seconds = found;
    });
    return seconds;
}

}  // namespace

RanksRun run_as_threads(RunInput input) {
    const schedule::Schedule& schedule = input.schedule;
    std::vector<comm::Progress> progress(static_cast<std::size_t>(schedule.ranks));
    std::vector<std::string> labels, ops;
    for (std::int64_t rank = 0; rank < schedule.ranks; ++rank) labels.push_back(fmt::format("[rank {}/{}]", rank, schedule.ranks));
    const schedule::Program& program = schedule.program_of(0);
    for (std::size_t i = 0; i < program.ops.size(); ++i) ops.push_back(schedule::describe(schedule, program, OpId{i}));
    const SignalReports signals(std::move(labels), std::move(ops), progress, Interrupt::ends_after_the_step);
    exec::StepGate gate(SignalReports::interrupted());
    input.options.may_start_step = [&gate](int step) { return gate.may_start(step); };
    // A thread that hangs or leaves cannot be ended alone: the process is.
    const auto end_process = [](const std::string& what) {
        fmt::print(stderr, "{}\n", log_line({}, LogLevel::error, what));
        std::fflush(nullptr);
        std::_Exit(static_cast<int>(ExitCode::environment));
    };
    input.options.on_stuck = end_process;
    input.options.leave = [end_process, rank = input.options.fault ? input.options.fault->rank : 0] {
        end_process(fmt::format("rank {}: injected exit (--inject), which ends the process of all ranks", rank));
    };
    const auto reference = [&] { return link_reference(static_cast<int>(schedule.ranks), input.options.timeout_seconds); };
    const double before = schedule.ranks > 1 ? reference() : 0;
    try {
        RanksRun run{exec::run_local(schedule, input.host, input.options, progress), {}};
        if (schedule.ranks > 1) run.links = {before, reference()};
        return run;
    } catch (const exec::RunError& error) {
        if (schedule.ranks == 1) throw;
        throw Error(error.code(), fmt::format("rank {} of {} ({}): {}", error.rank(), schedule.ranks, host_name(), error.what()));
    }
}

}  // namespace zerosim::cli
