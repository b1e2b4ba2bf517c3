#include "cli/facts.hpp"

#include "schedule/memory.hpp"

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

}  // namespace

analysis::Facts facts_of(const config::Resolved& resolved, const schedule::Schedule& schedule) {
    const strategy::Scenario& s = resolved.scenario;
    analysis::Facts facts;
    for (const config::Value& value : resolved.values) facts.scenario.emplace_back(value.key, value.value);
    facts.parameters = facts.trainable_parameters = model::parameter_count(s.model);
    facts.flops_per_token = model::flops_per_token(s.model, s.training.sequence_length);
    facts.tokens_per_step_per_rank = s.training.micro_batch * s.training.sequence_length * s.training.gradient_accumulation;
    facts.peak_flops = peak_flops(s.cluster.device, s.training.precision);
    facts.memory.reserved_bytes = schedule::plan_arena(schedule.program_of(0)).total_bytes();
    facts.formula = analysis::zero_formulas(facts.parameters, s.ranks, s.training.gradient_accumulation, s.strategy.zero_stage, state_precision(s.training.precision));
    return facts;
}

}  // namespace zerosim::cli
