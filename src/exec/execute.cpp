#include "exec/execute.hpp"

#include "base/error.hpp"
#include "exec/communication_thread.hpp"
#include "exec/interpreter.hpp"
#include "exec/run_error.hpp"
#include "schedule/dump.hpp"

#include <fmt/format.h>

#include <cmath>
#include <set>

namespace zerosim::exec {
namespace {

std::string loss_op(const schedule::Schedule& schedule, const schedule::Program& program) {
    for (std::size_t i = program.ops.size(); i-- > 0;)
        if (program.ops[i].kind == schedule::OpKind::compute && program.ops[i].kernel == kernel::Kernel::cross_entropy_forward)
            return fmt::format("op {} ({})", i, schedule::describe(schedule, program, OpId{i}));
    return "the loss";
}

/// A skipped step has an infinite norm by design: its gradients were dropped.
void check_step(const StepResult& result, const schedule::Schedule& schedule, const schedule::Program& program) {
    const bool loss = !std::isfinite(result.loss);
    if (!loss && (result.skipped || std::isfinite(result.gradient_norm))) return;
    const std::string from = loss_op(schedule, program);
    const std::string what = loss ? fmt::format("the loss of step {} is {}, from {}", result.step, result.loss, from)
                                  : fmt::format("the gradient norm of step {} is {}, after a loss of {:.4g} from {}", result.step, result.gradient_norm, result.loss, from);
    throw VerificationError(what + "; --check-numerics true names the first op that made such a number, and a smaller train.learning-rate or "
                                   "train.clip-gradients 1 often helps");
}

RunError located(const std::exception& error, std::int64_t rank, const comm::Progress& progress, const std::function<std::string(std::size_t)>& explain) {
    if (const auto* whole = dynamic_cast<const RunError*>(&error)) return *whole;
    const auto* known = dynamic_cast<const Error*>(&error);
    const ExitCode code = known ? known->code() : ExitCode::bug;
    const std::int64_t op = progress.op.load();
    // The numbers of a whole step are wrong, not those of the op that ends it.
    const std::string where = op < 0                                  ? "before its first op: "
                              : code == ExitCode::verification_failed ? ""
                                                                      : fmt::format("step {}, op {} ({}): ", progress.step.load(), op, explain(static_cast<std::size_t>(op)));
    return {rank, code, where + error.what(), false};
}

RankResult run_steps(const schedule::Schedule& schedule, const schedule::Program& program, std::int64_t rank, RankResources resources, const ExecuteOptions& options,
                     CommunicationThread& communication) {
    Interpreter interpreter(schedule, rank, resources, options, communication);
    RankResult result;
    interpreter.run(schedule::Segment::init, 0);
    for (int step = 1; step <= options.steps; ++step) {
        if (options.may_start_step && !options.may_start_step(step)) {
            result.interrupted = true;
            break;
        }
        interpreter.run(program.segment_of_step(step), step);
        result.steps.push_back(interpreter.step_result(step));
        if (options.on_step) options.on_step(result.steps.back());
        if (rank == 0) check_step(result.steps.back(), schedule, program);
    }
    result.peak_bytes = resources.device.peak_bytes();
    result.end_bytes = resources.device.handed_out_bytes();
    result.final_parameters = final_parameters(schedule, program, interpreter.memory(), rank, resources.device);
    result.trace = interpreter.take_trace();
    return result;
}

}  // namespace

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
        return run_steps(schedule, program, rank, resources, options, communication);
    } catch (const std::exception& error) {
        const RunError whole = located(error, rank, resources.progress, explain);
        std::optional<comm::AbortNotice> notice;
        if (!whole.of_peer()) notice = comm::AbortNotice{static_cast<int>(rank), static_cast<int>(whole.code()), whole.what()};
        communication.stop(std::move(notice));
        resources.communicators.abandon();
        throw whole;
    }
}

}  // namespace zerosim::exec
