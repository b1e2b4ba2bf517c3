// The end of run and simulate: the report in the asked format, the Perfetto file, warnings, the exit code.
// Called by command_run (on rank 0) and command_simulate.
// Does not compute anything.
#pragma once

#include "analysis/run_report.hpp"
#include "cli/commands.hpp"
#include "schedule/schedule.hpp"
#include "trace/trace.hpp"

namespace zerosim::cli {

/// Before the work: throws what can already be known to fail at its end, a malformed --fail-if or a file that cannot be written.
void check_presentable(const config::RunOptions& run);
/// Returns 1 when --fail-if holds, else 0.
[[nodiscard]] int present(const analysis::RunReport& report, const schedule::Schedule& schedule, const trace::Trace& trace, const config::Resolved& resolved,
                          const Invocation& invocation);

}  // namespace zerosim::cli
