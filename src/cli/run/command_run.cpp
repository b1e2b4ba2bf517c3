#include "analysis/analyze.hpp"
#include "base/error.hpp"
#include "cli/application.hpp"
#include "cli/commands.hpp"
#include "cli/simulate/explain_scenario.hpp"
#include "cli/facts.hpp"
#include "cli/machine.hpp"
#include "cli/present.hpp"
#include "cli/run/rank_results.hpp"
#include "cli/run/run_ranks.hpp"
#include "cli/run/run_setup.hpp"
#include "cli/simulate/simulate_report.hpp"
#include "comm/launcher.hpp"
#include "exec/run_error.hpp"
#include "sim/simulate.hpp"
#include "strategy/plan.hpp"

#include <fmt/core.h>

#include <cstdio>
#include <optional>

namespace zerosim::cli {
namespace {

/// Everything that can be known to be wrong before a rank starts.
schedule::Schedule plan_and_check(const config::Resolved& resolved, std::int64_t ranks_here, std::int64_t ranks_in_process) {
    auto schedule = strategy::plan(resolved.scenario);
    check_schedule(schedule);
    check_kernels(resolved, schedule);
    check_data(resolved);
    if (resolved.scenario.library == kernel::Library::host) {
        check_memory(schedule, ranks_here);
        if (resolved.run.compute == config::Compute::real) check_address_space(schedule, ranks_in_process, resolved.scenario.compute_threads);
    }
    return schedule;
}

/// Lines for people go to stdout with the table, to stderr beside JSON and CSV.
void print_start(const config::Resolved& resolved, std::FILE* out) {
    const auto& s = resolved.scenario;
    fmt::print(out, "{}: ZeRO-{} on {} rank{}, {} compute thread{} a rank, {} x {} tokens a micro-batch, {} micro-batch{} a step\n", s.model.name, s.strategy.zero_stage, s.ranks,
               s.ranks == 1 ? "" : "s", s.compute_threads, s.compute_threads == 1 ? "" : "s", s.training.micro_batch, s.training.sequence_length, s.training.gradient_accumulation,
               s.training.gradient_accumulation == 1 ? "" : "es");
    std::fflush(out);
}

RunInput run_input(const config::Resolved& resolved, const schedule::Schedule& schedule) {
    RunInput input{resolved, schedule, execute_options(resolved, schedule), host_rank_options(resolved)};
    std::FILE* out = resolved.run.format == config::Format::table && resolved.run.output.empty() ? stdout : stderr;
    const std::int64_t tokens = input.options.step_shape.sequences * input.options.step_shape.length;
    input.options.on_step = [out, tokens, steps = input.options.steps, synthetic = !input.options.synthetic_seconds.empty()](const exec::StepResult& result) {
        if (synthetic) fmt::print(out, "step {}/{} | synthetic compute | {:.1f} ms\n", result.step, steps, result.seconds * 1e3);
        else fmt::print(out, "{}\n", step_line(result, steps, tokens));
        std::fflush(out);
    };
    return input;
}

int report(const config::Resolved& resolved, const schedule::Schedule& schedule, RanksRun done, const Invocation& invocation) {
    std::vector<exec::RankResult>& ranks = done.ranks;
    const bool interrupted = ranks.front().interrupted;
    if (ranks.front().steps.empty()) throw Error(ExitCode::interrupted, "interrupted before the first step ended");
    exec::combine_steps(ranks);
    analysis::Facts facts = facts_of(resolved, schedule);
    use_executor_memory(facts, schedule);
    facts.untraced_step_seconds = median_step_seconds(ranks.front());
    if (resolved.run.compute == config::Compute::real) facts.training = training_report(schedule, ranks);
    const trace::Trace measured = merged_trace(schedule, ranks);
    analysis::RunReport run = analysis::analyze(schedule, measured, resolved.scenario.cluster, facts);
    add_devices(run, ranks, std::string(name(resolved.run.transport)));
    print_remarks(run.notes, {});
    if (done.links) add_links(run, *done.links, resolved.scenario.cluster, schedule.ranks);   // which the table says itself
    if (resolved.run.trace) analysis::add_prediction(run, schedule, sim::simulate(schedule, resolved.scenario.cluster, kSimulatedSteps), measured);
    Replanner replanner(invocation);
    replanner.launched(schedule.ranks);
    add_explanations(run, schedule, resolved, replanner);
    const int code = present(run, schedule, measured, resolved, invocation);
    return interrupted ? static_cast<int>(ExitCode::interrupted) : code;
}

int run_here(const Invocation& invocation) {
    const config::Resolved resolved = config::resolve(invocation.request(), invocation.paths, machine_with_gpus(invocation.environment));
    print_remarks(resolved.warnings, resolved.notes);
    check_presentable(resolved.run);
    const auto schedule = plan_and_check(resolved, resolved.scenario.ranks, resolved.scenario.ranks);
    RunInput input = run_input(resolved, schedule);
    print_start(resolved, resolved.run.format == config::Format::table && resolved.run.output.empty() ? stdout : stderr);
    const bool gpu = resolved.scenario.library == kernel::Library::cuda;
    return report(resolved, schedule, gpu ? run_alone_on_gpu(std::move(input)) : run_as_threads(std::move(input)), invocation);
}

int run_under_mpi(const Invocation& invocation, MpiJob& job) {
    config::Machine machine = machine_with_gpus(invocation.environment);
    machine.launched_ranks = job.size();
    // What is wrong is mostly wrong on every rank: said once, after all have looked.
    std::optional<config::Resolved> options;
    std::optional<schedule::Schedule> plan;
    std::optional<RunInput> prepared;
    std::optional<Failure> failure;
    try {
        options = config::resolve(invocation.request(), invocation.paths, machine);
        if (job.rank() == 0) {   // the one that presents
            print_remarks(options->warnings, options->notes);
            check_presentable(options->run);
        }
        plan = plan_and_check(*options, machine.local_ranks.value_or(job.size()), 1);
        prepared.emplace(run_input(*options, *plan));
    } catch (...) {
        failure = describe_failure(std::current_exception());
    }
    job.fail_together(failure);
    const config::Resolved& resolved = *options;
    const schedule::Schedule& schedule = *plan;
    RunInput input = std::move(*prepared);
    job.require_same_plan(resolved, schedule);
    if (job.rank() == 0) print_start(resolved, resolved.run.format == config::Format::table && resolved.run.output.empty() ? stdout : stderr);
    RanksRun done = job.run(std::move(input));
    return job.rank() == 0 ? report(resolved, schedule, std::move(done), invocation) : static_cast<int>(ExitCode::ok);
}

/// Needed before MPI starts, and so before all ranks can say together what is wrong with the options.
double timeout_of(const Invocation& invocation) {
    std::vector<std::string> folders;
    for (const auto& folder : invocation.paths.configs) folders.push_back((folder / "scenarios").string());
    try {
        return config::read_values(invocation.request(), folders).values.real("timeout-seconds");
    } catch (const Error&) {
        return config::Values().real("timeout-seconds");
    }
}

}  // namespace

int command_run(const Invocation& invocation) {
    if (!comm::launched_by_mpi()) return run_here(invocation);
    MpiJob job(timeout_of(invocation));
    try {
        return run_under_mpi(invocation, job);
    } catch (const exec::RunError& error) {
        job.fail(describe_failure(std::current_exception()), error.of_peer());
    } catch (...) {
        job.fail(describe_failure(std::current_exception()));
    }
}

}  // namespace zerosim::cli
