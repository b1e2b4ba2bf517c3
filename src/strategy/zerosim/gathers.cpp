#include "strategy/zerosim/gathers.hpp"

#include "strategy/zerosim/flat_units.hpp"

#include <fmt/format.h>

namespace zerosim::strategy::zerosim_system {

Gathers::Gathers(Context& context, Emitter& emitter, const States& states)
    : context_(context), emitter_(emitter), states_(states), gathered_(context.units(), false), gather_ops_(context.units()),
      last_use_(context.units()), whole_(context.units()), parameters_(context.parameters.size()) {}

void Gathers::plan_uses(const std::vector<ModuleVisit>& visits) {
    current_ = next_gather_ = 0;
    visits_.clear();
    if (!states_.sharding.parameters) return;
    const int head = static_cast<int>(context_.scenario.model.layers) + 1;
    const bool reuse = context_.scenario.strategy.reuse_gathered, tied = context_.scenario.model.tied;
    std::vector<std::size_t> unit_of_module(static_cast<std::size_t>(head) + 1, 0);
    for (std::size_t p = 0; p < context_.parameters.size(); ++p)
        unit_of_module[static_cast<std::size_t>(module_of(context_.parameters[p], context_.scenario.model))] = context_.places[p].unit;
    for (const auto& [module, backward] : visits) {
        Visit visit{unit_of_module[static_cast<std::size_t>(module)], true, true};
        // A root unit is used at both ends of a pass: gathered at the first, freed after the second.
        if (tied && (module == 0 || module == head)) {
            visit.gathers = backward == (module == head);
            visit.releases = !visit.gathers;
        }
        if (reuse && module == head) (backward ? visit.gathers : visit.releases) = false;
        // The embedding's backward needs token ids only.
        if (reuse && !tied && backward && module == 0) visit.gathers = visit.releases = false;
        visits_.push_back(visit);
    }
}

TensorId Gathers::whole(std::size_t unit) {
    if (!states_.sharding.parameters) return states_.units[unit].parameter;
    if (!whole_[unit].valid()) {
        const auto& layout = context_.layout(unit);
        const std::string name = fmt::format("{} gathered", context_.unit_name(unit));
        const StorageId storage = context_.program.storage(name, layout.padded * context_.element_bytes(), context_.gather_pool, Role::gathered_parameter);
        context_.program.at(storage).payload_total = layout.total * context_.element_bytes();
        whole_[unit] = context_.program.tensor(name, storage, context_.dtype(), 1, layout.padded);
    }
    return whole_[unit];
}

TensorId Gathers::parameter(std::int32_t index) {
    TensorId& tensor = parameters_[static_cast<std::size_t>(index)];
    if (!tensor.valid()) {
        const auto place = context_.places[static_cast<std::size_t>(index)];
        const auto& segment = context_.layout(place.unit).segments[place.segment];
        const auto& parameter = context_.parameters[static_cast<std::size_t>(index)];
        schedule::Tensor view = context_.program.at(whole(place.unit));
        view.offset.constant += segment.offset * context_.element_bytes();
        view.rows = parameter.rows;
        view.columns = view.row_stride = parameter.columns;
        view.name = context_.program.intern(parameter.name);
        view.parameter = index;
        tensor = context_.program.tensor(view);
    }
    return tensor;
}

void Gathers::gather(std::size_t unit) {
    const TensorId receive = whole(unit);
    const auto tags = context_.program.tags;
    context_.program.tags.unit = static_cast<std::int16_t>(unit);
    context_.program.alloc(context_.program.at(receive).storage);
    schedule::Collective all_gather;
    all_gather.kind = CollectiveKind::all_gather;
    all_gather.axis = context_.data_axis;
    all_gather.send = states_.units[unit].parameter_shard;
    all_gather.receive = receive;
    gather_ops_[unit] = context_.program.collective(context_.gather, fmt::format("gather {}", context_.unit_name(unit)), all_gather);
    context_.program.tags = tags;
    gathered_[unit] = true;
}

void Gathers::begin_use() {
    if (!states_.sharding.parameters) return;
    const Visit& visit = visits_[current_];
    const std::size_t ahead = current_ + static_cast<std::size_t>(context_.scenario.strategy.prefetch_depth);
    // In order, so that every rank issues the same; a unit still held from an earlier visit stops the prefetch until it is freed.
    for (; next_gather_ < visits_.size() && next_gather_ <= ahead; ++next_gather_) {
        const Visit& next = visits_[next_gather_];
        if (!next.gathers) continue;
        if (gathered_[next.unit]) break;
        gather(next.unit);
    }
    emitter_.wait_for(gather_ops_[visit.unit]);
}

void Gathers::end_use() {
    if (!states_.sharding.parameters) return;
    const Visit& visit = visits_[current_++];
    last_use_[visit.unit] = emitter_.last();
    if (visit.releases) release(visit.unit);
}

void Gathers::release(std::size_t unit) {
    const OpId last = last_use_[unit];
    context_.program.free(context_.program.at(whole(unit)).storage, {&last, 1});
    gathered_[unit] = false;
}

}  // namespace zerosim::strategy::zerosim_system
