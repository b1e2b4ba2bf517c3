#include "exec/execute.hpp"

#include "base/error.hpp"
#include "exec/communication_thread.hpp"
#include "exec/interpreter.hpp"
#include "exec/step_loop.hpp"
#include "schedule/dump.hpp"

#include <set>

namespace zerosim::exec {

std::vector<std::pair<StreamId, AxisId>> communicators_needed(const schedule::Program& program) {
    std::set<std::pair<StreamId, AxisId>> needed;
    for (const auto& op : program.ops)
        if (op.kind == schedule::OpKind::collective) needed.insert({op.stream, program.collective_of(op).axis});
    return {needed.begin(), needed.end()};
}

RankResult execute_rank(const schedule::Schedule& schedule, std::int64_t rank, RankResources resources, const ExecuteOptions& options) {
    const schedule::Program& program = schedule.program_of(rank);
    const auto explain = [&](std::size_t op) { return schedule::describe(schedule, program, OpId{op}); };
    CommunicationThread communication(program.ops.size(), program.streams.size(), resources, options, rank, explain);
    try {
        Interpreter interpreter(schedule, rank, resources, options, communication);
        return run_steps(interpreter, schedule, rank, resources.device, options);
    } catch (const std::exception& error) {
        const RunError whole = located(error, rank, resources.progress, schedule);
        std::optional<comm::AbortNotice> notice;
        if (!whole.of_peer()) notice = comm::AbortNotice{static_cast<int>(rank), static_cast<int>(whole.code()), whole.what()};
        communication.stop(std::move(notice));
        resources.communicators.abandon();
        throw whole;
    }
}

}  // namespace zerosim::exec
