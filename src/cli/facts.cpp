#include "cli/facts.hpp"

#include "cost/nccl_memory.hpp"
#include "schedule/memory.hpp"
#include "sim/memory_replay.hpp"
#include "strategy/adapters.hpp"
#include "strategy/check_scenario.hpp"
#include "strategy/coarse/planner.hpp"

#include <algorithm>

namespace zerosim::cli {
namespace {

using strategy::Precision;

/// What utilization is measured against: the peak of the dtype in which the linear layers multiply (docs/metrics.md). A CPU cluster's
/// rates are per core.
void use_peak(analysis::Facts& facts, const strategy::Scenario& s) {
    const cluster::DeviceSpec& device = s.cluster.device;
    const double cores = static_cast<double>(cluster::cores_per_rank(s.cluster, s.ranks));
    switch (s.training.precision) {
        case Precision::fp32: facts.peak_flops = device.fp32_flops, facts.peak_dtype = "fp32"; break;
        case Precision::fp16_mixed: facts.peak_flops = device.fp16_flops, facts.peak_dtype = "fp16"; break;
        case Precision::bf16_mixed:
        case Precision::bf16: facts.peak_flops = device.bf16_flops, facts.peak_dtype = "bf16"; break;
    }
    facts.peak_flops *= cores;
    if (!s.training.fp8_products || s.inference.enabled || device.fp8_flops <= 0) return;
    facts.peak_16_bit_flops = facts.peak_flops;
    facts.peak_flops = device.fp8_flops;
    facts.peak_dtype = "fp8";
}

analysis::StatePrecision state_precision(Precision precision) {
    if (precision == Precision::fp32) return analysis::StatePrecision::fp32;
    return precision == Precision::bf16 ? analysis::StatePrecision::bf16 : analysis::StatePrecision::mixed;
}

sim::AllocatorSettings allocator_settings(const strategy::Scenario& s, std::int64_t communicators) {
    constexpr std::int64_t kMebibyte = 1 << 20;
    sim::AllocatorSettings settings;
    settings.expandable_segments = s.allocator.expandable_segments;
    if (s.allocator.max_split_size_mb > 0) settings.max_split_size = s.allocator.max_split_size_mb * kMebibyte;
    settings.roundup_power2_divisions = s.allocator.roundup_power2_divisions;
    settings.garbage_collection_threshold = s.allocator.garbage_collection_threshold;
    settings.fraction = s.allocator.memory_fraction;
    settings.device_bytes = s.cluster.device.memory_bytes;
    if (!s.cluster.device.is_cpu) settings.capacity = s.cluster.device.memory_bytes - s.cluster.device.context_bytes - communicators;
    return settings;
}

analysis::AllocatorReport allocator_report(const sim::MemoryReplay& replay) {
    analysis::AllocatorReport report{replay.peak_active, replay.requested_at_end, replay.inactive_split, replay.peak_inactive_split, replay.retries, {}};
    if (const auto& oom = replay.out_of_memory) report.out_of_memory = {oom->requested, oom->allocated, oom->reserved, oom->capacity, oom->largest_free};
    return report;
}

/// Eager PyTorch allocates as it issues: its memory is a replay of program order through its caching allocator. zerosim's own executor
/// plans an arena.
analysis::MemoryFacts memory_of(const strategy::Scenario& scenario, const schedule::Schedule& schedule, const schedule::Program& program,
                                const trace::RankTrace* simulated) {
    analysis::MemoryFacts memory;
    // NCCL's buffers lie beside the allocator's.
    if (scenario.library == kernel::Library::cuda) memory.communicator_bytes = cost::nccl_memory_bytes(schedule, program, scenario.cluster);
    if (!strategy::is_eager(scenario) && !scenario.inference.enabled) {
        memory.reserved_bytes = schedule::plan_arena(program).total_bytes();
        return memory;
    }
    const sim::MemoryReplay replay = sim::replay_memory(program, allocator_settings(scenario, memory.communicator_bytes), simulated);
    memory.reserved_bytes = replay.peak_reserved;
    memory.allocator = {replay.after_init,   replay.after_step,    replay.init_peak,     replay.first_step_peak,
                        replay.forward_peak, replay.backward_peak, replay.optimizer_peak, allocator_report(replay)};
    memory.host_peak_bytes = replay.host_peak;
    memory.host_pinned_bytes = replay.host_pinned_peak;
    return memory;
}

void use_memory_of(analysis::Facts& facts, const strategy::Scenario& scenario, const schedule::Schedule& schedule, const trace::Trace* simulated) {
    const auto trace_of = [&](std::int64_t rank) -> const trace::RankTrace* {
        if (simulated == nullptr) return nullptr;
        const auto found = std::ranges::find(simulated->ranks, rank, &trace::RankTrace::rank);
        return found == simulated->ranks.end() ? nullptr : &*found;
    };
    facts.memory = memory_of(scenario, schedule, schedule.program_of(0), trace_of(0));
    for (const schedule::RankRole& role : schedule.roles)
        if (role.first_rank > 0 && strategy::is_eager(scenario))
            facts.rank_memory[role.first_rank] = memory_of(scenario, schedule, schedule.programs[role.program], trace_of(role.first_rank));
}

}  // namespace

analysis::Facts facts_of(const config::Resolved& resolved, const schedule::Schedule& schedule, const trace::Trace* simulated) {
    const strategy::Scenario& s = resolved.scenario;
    analysis::Facts facts;
    for (const config::Value& value : resolved.values) facts.scenario.emplace_back(value.key, value.value);
    const std::int64_t adapters = strategy::adapter_parameters(s.model, s.training);
    facts.parameters = model::parameter_count(s.model) + adapters;
    facts.trainable_parameters = adapters > 0 ? adapters : facts.parameters;
    facts.flops_per_token = strategy::model_flops_per_token(s.model, s.training);
    facts.tokens_per_step_per_rank = s.training.micro_batch * s.training.sequence_length * s.training.gradient_accumulation;
    use_peak(facts, s);
    if (s.model.is_coarse()) facts.trainable_parameters = strategy::coarse_trainable_parameters(s.model);
    use_memory_of(facts, s, schedule, simulated);
    if (s.inference.enabled) {   // forward only: a third of training's
        facts.flops_per_token /= 3;
        facts.tokens_per_step_per_rank = s.inference.batch * (s.inference.prompt_tokens + (s.inference.new_tokens > 1 ? 2 : 0));
        facts.residuals = {};
        return facts;
    }
    facts.residuals = resolved.residuals;
    // The paper's formulas are of full training with Adam: none beside frozen weights or other states.
    const bool adam = s.training.optimizer == strategy::Optimizer::adamw || s.training.optimizer == strategy::Optimizer::adamw_foreach;
    if (!adam || facts.trainable_parameters != facts.parameters) return facts;
    facts.formula = analysis::zero_formulas(facts.parameters, s.ranks, s.training.gradient_accumulation, s.strategy.zero_stage, state_precision(s.training.precision));
    return facts;
}

void use_executor_memory(analysis::Facts& facts, const schedule::Schedule& schedule) {
    const analysis::Facts predicted = facts;
    facts.rank_memory.clear();
    for (const schedule::RankRole& role : schedule.roles) {
        analysis::MemoryFacts memory;
        memory.reserved_bytes = schedule::plan_arena(schedule.programs[role.program]).total_bytes();
        memory.communicator_bytes = predicted.memory_of(role.first_rank).communicator_bytes;
        if (role.first_rank == 0) facts.memory = memory;
        else facts.rank_memory[role.first_rank] = memory;
    }
}

}  // namespace zerosim::cli
