// The steps of one rank, whatever interprets them: init, then step after step until the last or an interrupt; what failed, in full.
// Used by execute_rank (host) and execute_on_streams (CUDA).
// Knows no device.
#pragma once

#include "exec/execute.hpp"
#include "exec/run_error.hpp"

#include <exception>

namespace zerosim::exec {

/// `ops` more rows at the end of a trace; null when it would grow beyond what a rank keeps in memory.
[[nodiscard]] trace::OpTime* append_rows(trace::RankTrace& trace, std::size_t ops);

/// VerificationError when the loss, or the norm of a step that was not skipped, is not finite.
void check_step(const StepResult& result, const schedule::Schedule& schedule, const schedule::Program& program);

/// The error with the step and op it happened in; one that is located already stays as it is.
[[nodiscard]] RunError located(const std::exception& error, std::int64_t rank, const comm::Progress& progress, const schedule::Schedule& schedule);

template <class Interpreter>
[[nodiscard]] RankResult run_steps(Interpreter& interpreter, const schedule::Schedule& schedule, std::int64_t rank, device::Device& device, const ExecuteOptions& options) {
    const schedule::Program& program = schedule.program_of(rank);
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
    result.peak_bytes = interpreter.device_peak_bytes();
    result.end_bytes = interpreter.device_bytes();
    result.final_parameters = final_parameters(schedule, program, interpreter.memory(), rank, device);
    result.trace = interpreter.take_trace();
    return result;
}

}  // namespace zerosim::exec
