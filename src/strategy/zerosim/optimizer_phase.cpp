#include "strategy/zerosim/optimizer_phase.hpp"

#include <fmt/format.h>

namespace zerosim::strategy::zerosim_system {

using kernel::Attributes;
using kernel::Kernel;

namespace {

schedule::ShardRange owned_range(const Context& context, const States& states, std::size_t unit) {
    return states.sharding.optimizer ? context.shard_range(unit) : context.whole_range(unit);
}

void emit_squared_norms(Context& context, Emitter& emitter, const States& states, const Reductions& reductions) {
    for (std::size_t unit = 0; unit < context.units(); ++unit) {
        emitter.wait_for(reductions.reduced(unit));
        Attributes a;
        a.tokens = context.schedule.layouts[unit].shard;
        emitter.ranged(fmt::format("norm {}", context.unit_name(unit)), Kernel::squared_norm,
                       {states.units[unit].gradient_shard, states.scalars.norm_bins}, a, owned_range(context, states, unit));
    }
}

/// Sums the loss, and the norm where gradients are sharded, over the ranks: one small all-reduce.
void emit_scalar_all_reduce(Context& context, Emitter& emitter, const States& states) {
    if (context.scenario.ranks == 1) return;
    const OpId last = emitter.last();
    schedule::Collective c;
    c.kind = CollectiveKind::all_reduce;
    c.reduction = Reduction::sum;
    c.axis = context.data_axis;
    c.send = c.receive = states.sharding.optimizer ? states.scalars.loss_and_bins : states.scalars.loss;
    c.scalar = true;
    const bool host = context.scenario.library == kernel::Library::host;
    const std::int64_t bytes = host ? host_reduction_scratch_bytes(c.kind, context.program.at(c.send).elements(), 8, context.scenario.ranks) : 0;
    if (bytes > 0) {
        const StorageId room = context.program.storage("peers' scalars", bytes, context.reduce_pool, Role::staging);
        context.program.alloc(room);
        c.scratch = context.program.tensor("peers' scalars", room, DType::uint8, 1, bytes);
    }
    emitter.wait_for(context.program.collective(context.reduce, "sum loss and norm", c, {&last, 1}));
    if (c.scratch.valid()) context.program.free(context.program.at(c.scratch).storage);
}

void emit_scale(Context& context, Emitter& emitter, const States& states) {
    const Scalars& s = states.scalars;
    const bool scaled = context.scenario.training.precision == Precision::fp16_mixed;
    Attributes a;
    a.clip = static_cast<float>(context.scenario.training.clip_gradients);
    emitter.kernel("gradient norm", Kernel::gradient_scale, {s.norm_bins, scaled ? s.loss_scale : TensorId{}, s.step, s.norm, s.factor, s.skip}, a);
    if (scaled) emitter.kernel("loss scale", Kernel::loss_scale_update, {s.skip, s.loss_scale, s.good_steps}, a);
}

OpId emit_update(Context& context, Emitter& emitter, const States& states, std::size_t unit) {
    const auto& t = context.scenario.training;
    const UnitStates& u = states.units[unit];
    const Scalars& s = states.scalars;
    Attributes a;
    a.tokens = states.sharding.optimizer ? context.layout(unit).shard : context.layout(unit).padded;
    a.learning_rate = static_cast<float>(t.learning_rate);
    a.beta1 = static_cast<float>(t.beta1);
    a.beta2 = static_cast<float>(t.beta2);
    a.epsilon = static_cast<float>(t.epsilon);
    a.weight_decay = static_cast<float>(t.weight_decay);
    return emitter.ranged(fmt::format("adamw {}", context.unit_name(unit)), Kernel::adamw,
                          {u.parameter_shard, u.master, u.first_moment, u.second_moment, u.gradient_shard, s.factor, s.skip, s.step}, a,
                          owned_range(context, states, unit));
}

/// Stages 1 and 2: every rank gets the others' updated slices, in place in the whole buffer.
OpId emit_parameter_gather(Context& context, const States& states, std::size_t unit, OpId updated) {
    schedule::Collective c;
    c.kind = CollectiveKind::all_gather;
    c.axis = context.data_axis;
    c.send = states.units[unit].parameter_shard;
    c.receive = states.units[unit].parameter;
    context.program.tags.unit = static_cast<std::int16_t>(unit);
    const OpId op = context.program.collective(context.gather, fmt::format("gather {}", context.unit_name(unit)), c, {&updated, 1});
    context.program.tags.unit = -1;
    return op;
}

}  // namespace

void emit_optimizer_phase(Context& context, Emitter& emitter, const States& states, Reductions& reductions) {
    context.program.tags = {.phase = schedule::Phase::optimizer};
    emit_squared_norms(context, emitter, states, reductions);
    reductions.drain();
    emit_scalar_all_reduce(context, emitter, states);
    emit_scale(context, emitter, states);
    std::vector<OpId> ends;
    for (std::size_t unit = 0; unit < context.units(); ++unit) {
        const OpId updated = emit_update(context, emitter, states, unit);
        if (states.sharding.optimizer && !states.sharding.parameters) ends = {emit_parameter_gather(context, states, unit, updated)};
    }
    ends.push_back(emitter.last());
    context.program.host_wait(context.compute, ends);
    context.program.mark(context.compute, "step");
}

}  // namespace zerosim::strategy::zerosim_system
