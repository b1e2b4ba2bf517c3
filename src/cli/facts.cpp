#include "cli/facts.hpp"

#include "schedule/memory.hpp"
#include "sim/memory_replay.hpp"
#include "strategy/adapters.hpp"

namespace zerosim::cli {
namespace {

using strategy::Precision;

double peak_flops(const cluster::DeviceSpec& device, Precision precision) {
    switch (precision) {
        case Precision::fp32: return device.fp32_flops;
        case Precision::fp16_mixed: return device.fp16_flops;
        case Precision::bf16_mixed:
        case Precision::bf16: return device.bf16_flops;
    }
    return 0;
}

analysis::StatePrecision state_precision(Precision precision) {
    if (precision == Precision::fp32) return analysis::StatePrecision::fp32;
    return precision == Precision::bf16 ? analysis::StatePrecision::bf16 : analysis::StatePrecision::mixed;
}

/// Eager PyTorch allocates as it issues: its memory is a replay of program order through its caching allocator. zerosim's own executor
/// plans an arena.
void use_memory_of(analysis::Facts& facts, const strategy::Scenario& scenario, const schedule::Schedule& schedule) {
    const schedule::Program& program = schedule.program_of(0);
    const strategy::System system = scenario.strategy.system;
    if (system != strategy::System::ddp && system != strategy::System::fsdp2) {
        facts.memory.reserved_bytes = schedule::plan_arena(program).total_bytes();
        return;
    }
    const sim::MemoryReplay replay = sim::replay_memory(program);
    facts.memory.reserved_bytes = replay.peak_reserved;
    facts.memory.allocator = {replay.after_init,   replay.after_step,    replay.init_peak,     replay.first_step_peak,
                              replay.forward_peak, replay.backward_peak, replay.optimizer_peak};
    facts.memory.host_peak_bytes = replay.host_peak;
    facts.memory.host_pinned_bytes = replay.host_pinned_peak;
}

}  // namespace

analysis::Facts facts_of(const config::Resolved& resolved, const schedule::Schedule& schedule) {
    const strategy::Scenario& s = resolved.scenario;
    analysis::Facts facts;
    for (const config::Value& value : resolved.values) facts.scenario.emplace_back(value.key, value.value);
    const std::int64_t adapters = strategy::adapter_parameters(s.model, s.training);
    facts.parameters = model::parameter_count(s.model) + adapters;
    facts.trainable_parameters = adapters > 0 ? adapters : facts.parameters;
    facts.flops_per_token = model::flops_per_token(s.model, s.training.sequence_length);
    facts.tokens_per_step_per_rank = s.training.micro_batch * s.training.sequence_length * s.training.gradient_accumulation;
    facts.peak_flops = peak_flops(s.cluster.device, s.training.precision);
    use_memory_of(facts, s, schedule);
    facts.formula = analysis::zero_formulas(facts.parameters, s.ranks, s.training.gradient_accumulation, s.strategy.zero_stage, state_precision(s.training.precision));
    return facts;
}

}  // namespace zerosim::cli
