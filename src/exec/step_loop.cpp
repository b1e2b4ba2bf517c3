#include "exec/step_loop.hpp"

#include "base/error.hpp"
#include "schedule/dump.hpp"

#include <fmt/format.h>

#include <cmath>

namespace zerosim::exec {
namespace {

std::string loss_op(const schedule::Schedule& schedule, const schedule::Program& program) {
    for (std::size_t i = program.ops.size(); i-- > 0;)
        if (program.ops[i].kind == schedule::OpKind::compute && program.ops[i].kernel == kernel::Kernel::cross_entropy_forward)
            return fmt::format("op {} ({})", i, schedule::describe(schedule, program, OpId{i}));
    return "the loss";
}

/// Rows of a trace kept in memory; steps beyond are run but not recorded.
constexpr std::size_t kMostTraceRows = 4'000'000;

}  // namespace

trace::OpTime* append_rows(trace::RankTrace& trace, std::size_t ops) {
    if (trace.times.size() + ops > kMostTraceRows) return nullptr;
    trace.times.resize(trace.times.size() + ops);
    return trace.times.data() + (trace.times.size() - ops);
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

RunError located(const std::exception& error, std::int64_t rank, const comm::Progress& progress, const schedule::Schedule& schedule) {
    if (const auto* whole = dynamic_cast<const RunError*>(&error)) return *whole;
    const auto* known = dynamic_cast<const Error*>(&error);
    const ExitCode code = known ? known->code() : ExitCode::bug;
    const std::int64_t op = progress.op.load();
    // The numbers of a whole step are wrong, not those of the op that ends it.
    const std::string where = op < 0                                  ? "before its first op: "
                              : code == ExitCode::verification_failed ? ""
                                                                      : fmt::format("step {}, op {} ({}): ", progress.step.load(), op, schedule::describe(schedule, schedule.program_of(rank), OpId{static_cast<std::size_t>(op)}));
    return {rank, code, where + error.what(), false};
}

}  // namespace zerosim::exec
