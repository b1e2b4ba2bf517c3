#include "cli/run/run_setup.hpp"

#include "base/error.hpp"
#include "base/nearest.hpp"
#include "base/units.hpp"
#include "cli/machine.hpp"
#include "cost/cost.hpp"
#include "exec/runnable.hpp"
#include "schedule/dump.hpp"
#include "schedule/memory.hpp"
#include "schedule/validate.hpp"
#include "strategy/adapters.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace zerosim::cli {
namespace {

data::Start start_of(model::Initial initial) {
    switch (initial) {
        case model::Initial::one: return data::Start::one;
        case model::Initial::zero: return data::Start::zero;
        case model::Initial::matrix: break;
    }
    return data::Start::random;
}

exec::FaultKind kind_of(config::FaultAction action) {
    switch (action) {
        case config::FaultAction::hang: return exec::FaultKind::hang;
        case config::FaultAction::slow: return exec::FaultKind::slow;
        case config::FaultAction::exit: return exec::FaultKind::exit;
        case config::FaultAction::fail: break;
    }
    return exec::FaultKind::fail;
}

/// What an op can be called by: its own name, its kernel's, its kind or that of its collective, as messages and the dump show them.
std::vector<std::string> names_of(const schedule::Schedule& schedule, const schedule::Program& program, const schedule::Op& op) {
    std::vector<std::string> names{std::string(schedule.names[op.name]), std::string(schedule::name(op.kind))};
    if (op.kernel != kernel::Kernel::count_) names.emplace_back(kernel::name(op.kernel));
    if (op.kind == schedule::OpKind::collective) names.emplace_back(name(program.collective_of(op).kind));
    return names;
}

/// A position in the program, or the first op of a step with that name.
std::size_t find_op(const std::string& text, const schedule::Schedule& schedule, std::int64_t rank) {
    const schedule::Program& program = schedule.program_of(rank);
    if (const auto position = parse_integer(text)) {
        if (*position < 0 || *position >= static_cast<std::int64_t>(program.ops.size()))
            throw ConfigError(fmt::format("inject: op {} is not one of rank {}'s {} ops (0 to {}); see zerosim show --schedule", *position, rank, program.ops.size(), program.ops.size() - 1));
        return static_cast<std::size_t>(*position);
    }
    std::vector<std::string> names;
    for (std::size_t i = program.first_begin; i < program.ops.size(); ++i) {
        for (std::string& name : names_of(schedule, program, program.ops[i])) {
            if (name == text) return i;
            if (!name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
        }
    }
    throw ConfigError(fmt::format("inject: rank {} has no op named '{}'{}; zerosim show --schedule lists them", rank, text, did_you_mean(text, names)));
}

std::vector<double> synthetic_seconds(const schedule::Schedule& schedule, const cluster::Cluster& cluster) {
    std::vector<double> seconds;
    for (const schedule::Program& program : schedule.programs) {
        for (const schedule::Op& op : program.ops) {
            const bool kernel = op.kind == schedule::OpKind::compute || op.kind == schedule::OpKind::optimizer;
            seconds.push_back(kernel ? cost::op_seconds(schedule, program, op, cluster) : 0.0);
        }
    }
    return seconds;
}

}  // namespace

exec::ExecuteOptions execute_options(const config::Resolved& resolved, const schedule::Schedule& schedule) {
    const auto& s = resolved.scenario;
    exec::ExecuteOptions options;
    options.steps = static_cast<int>(s.training.steps);
    options.trace = resolved.run.trace;
    options.seed = s.training.seed;
    options.initial.scheme = data::scheme_of(s.training.init);
    for (const model::Parameter& parameter : model::parameters(s.model)) options.initial.starts.push_back(start_of(parameter.initial));
    for (std::size_t i = options.initial.starts.size(); i < schedule.parameters.size(); ++i)
        options.initial.starts.push_back(strategy::starts_as_zero(schedule.parameters[i]) ? data::Start::zero : data::Start::random);
    options.step_shape = {s.ranks * s.training.micro_batch * s.training.gradient_accumulation, s.training.sequence_length};
    options.micro_batch = s.training.micro_batch;
    options.gradient_accumulation = s.training.gradient_accumulation;
    if (resolved.run.compute == config::Compute::synthetic) options.synthetic_seconds = synthetic_seconds(schedule, s.cluster);
    options.timeout_seconds = resolved.run.timeout_seconds;
    options.check_numerics = resolved.run.check_numerics;
    if (const auto& fault = resolved.run.inject) {
        if (fault->rank < 0 || fault->rank >= s.ranks) throw ConfigError(fmt::format("inject: rank {} is not one of the {} ranks", fault->rank, s.ranks));
        options.fault = exec::Fault{fault->rank, find_op(fault->op, schedule, fault->rank), kind_of(fault->action)};
    }
    return options;
}

exec::HostRankOptions host_rank_options(const config::Resolved& resolved) {
    return {resolved.scenario.compute_threads, resolved.run.arena == config::Arena::planned, resolved.scenario.training.data, resolved.scenario.model.real_vocabulary};
}

void check_data(const config::Resolved& resolved) {
    const auto& t = resolved.scenario.training;
    if (resolved.run.compute == config::Compute::synthetic && t.data == "chain") return;
    const data::TokenSource tokens(t.data, resolved.scenario.model.real_vocabulary);
    tokens.check_length(t.steps, {resolved.scenario.ranks * t.micro_batch * t.gradient_accumulation, t.sequence_length});
}

void check_memory(const schedule::Schedule& schedule, std::int64_t ranks_here) {
    const std::int64_t one = schedule::plan_arena(schedule.program_of(0)).total_bytes();
    const std::int64_t needed = one * ranks_here, available = available_memory();
    if (available > 0 && needed > available)
        throw EnvironmentError(fmt::format("not enough host memory: {} ranks on this node need {} each, {} together, and {} are available", ranks_here,
                                           format_bytes(static_cast<double>(one)), format_bytes(static_cast<double>(needed)), format_bytes(static_cast<double>(available))));
}

/// Before a product is computed, for OpenBLAS then asks for its buffer again and again, for ever (driver/others/memory.c, blas_memory_alloc).
void check_address_space(const schedule::Schedule& schedule, std::int64_t ranks, std::int64_t threads) {
    const std::optional<std::int64_t> left = address_space_left();
    if (!left) return;
    constexpr std::int64_t kProductBuffer = std::int64_t{32} << 22;   // common_x86_64.h: 32 << BUFFERSIZE; Debian's 0.3.21 maps so much for each thread
    constexpr std::int64_t kStack = std::int64_t{8} << 20;            // what glibc maps for a thread (x86-64, ulimit -s as usual)
    constexpr std::int64_t kHeap = std::int64_t{64} << 20;            // glibc's malloc/arena.c, HEAP_MAX_SIZE: a thread's own heap
    const std::int64_t one = schedule::plan_arena(schedule.program_of(0)).total_bytes() + threads * (kProductBuffer + kStack + kHeap) + kStack + kHeap;   // its communication thread
    const std::int64_t needed = one * ranks;
    if (needed > *left)
        throw EnvironmentError(fmt::format("not enough address space: {} rank{} in this process need{} {}, thread stacks and OpenBLAS' buffers included, and ulimit -v leaves {}", ranks,
                                           ranks == 1 ? "" : "s", ranks == 1 ? "s" : "", format_bytes(static_cast<double>(needed)), format_bytes(static_cast<double>(*left))));
}

void check_schedule(const schedule::Schedule& schedule) {
    const auto violations = schedule::validate(schedule);
    if (violations.empty()) return;
    const schedule::Violation& first = violations.front();
    throw BugError(fmt::format("the planned schedule breaks {} rules; the first: rank {}, op {}: {}", violations.size(), first.rank,
                               first.op.valid() ? std::to_string(first.op.index()) : "-", first.what));
}

void check_kernels(const config::Resolved& resolved, const schedule::Schedule& schedule) {
    if (resolved.run.compute == config::Compute::synthetic) return;
    const strategy::Scenario& s = resolved.scenario;
    if (resolved.run.check_numerics && s.library == kernel::Library::cuda)
        throw ConfigError("check-numerics looks at every op's results in the host's memory, which a run on GPUs does not have: add --device cpu");
    const bool fsdp = s.strategy.system == strategy::System::fsdp || s.strategy.system == strategy::System::fsdp2;
    if (fsdp && s.strategy.optimizer_at != strategy::Placement::device && s.training.clip_gradients > 0)
        throw ConfigError("train.clip-gradients with offloaded states: the host's step of fsdp and fsdp2 does not clip when it is run; simulate it, or --compute synthetic");
    for (const schedule::Program& program : schedule.programs)
        if (const OpId op = exec::first_without_kernel(program); op.valid())
            throw ConfigError(fmt::format("this scenario can be simulated, but not computed: no device has a kernel for op {} ({}); --compute synthetic runs it with "
                                          "modelled times", op.index(), schedule::describe(schedule, program, op)));
}

std::string step_line(const exec::StepResult& result, int steps, std::int64_t tokens_per_step) {
    const std::string width = std::to_string(steps);
    return fmt::format("step {:>{}}/{} | loss{} {:8.4f} | norm{} {:8.4f} | {:8.1f} ms | {:8.0f} tok/s{}", result.step, width.size(), steps,
                       result.local ? " of rank 0" : "", result.loss, result.local && !result.whole_gradient ? " of its part" : "", result.gradient_norm,
                       result.seconds * 1e3, static_cast<double>(tokens_per_step) / result.seconds, result.skipped ? " | overflow, step skipped" : "");
}

}  // namespace zerosim::cli
