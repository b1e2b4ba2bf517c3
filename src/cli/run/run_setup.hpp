// From a resolved scenario to what exec/ needs: options, host rank, and the checks that come before anything is allocated.
// Called by command_run on every rank.
// Starts nothing.
#pragma once

#include "config/resolve.hpp"
#include "exec/host_rank.hpp"
#include "schedule/schedule.hpp"

namespace zerosim::cli {

[[nodiscard]] exec::ExecuteOptions execute_options(const config::Resolved& resolved, const schedule::Schedule& schedule);
[[nodiscard]] exec::HostRankOptions host_rank_options(const config::Resolved& resolved);

/// Throws EnvironmentError with the numbers: data too short; not enough host memory for `ranks_here` ranks of this node; not enough
/// address space (ulimit -v) for the `ranks` of this process and what libraries take for each of their `threads`.
void check_data(const config::Resolved& resolved);
void check_memory(const schedule::Schedule& schedule, std::int64_t ranks_here);
void check_address_space(const schedule::Schedule& schedule, std::int64_t ranks, std::int64_t threads);
/// Throws BugError if the planned schedule breaks a rule, ConfigError where the device cannot be had.
void check_schedule(const schedule::Schedule& schedule);
/// Throws ConfigError if real kernels are asked for that no device has.
void check_kernels(const config::Resolved& resolved, const schedule::Schedule& schedule);

/// "step   3/20 | loss 4.1234 | norm 1.2345 |  812.1 ms |   2521 tok/s"
[[nodiscard]] std::string step_line(const exec::StepResult& result, int steps, std::int64_t tokens_per_step);

}  // namespace zerosim::cli
