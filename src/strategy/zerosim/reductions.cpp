#include "strategy/zerosim/reductions.hpp"

#include "base/error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace zerosim::strategy::zerosim_system {

Reductions::Reductions(Context& context, Emitter& emitter, const States& states)
    : context_(context), emitter_(emitter), states_(states), writes_left_(context.units()),
      writes_per_parameter_(context.parameters.size(), 1), parameter_writes_(context.parameters.size(), 0), allocated_(context.units(), false),
      reduce_ops_(context.units()), whole_(context.units()), views_(context.parameters.size()), staging_(context.units()), scratch_(context.units()) {
    // A tied embedding gets a gradient from the head and another from the embedding.
    for (std::size_t p = 0; p < context.parameters.size(); ++p)
        if (context.scenario.model.tied && context.parameters[p].site == model::Site::token_embedding) writes_per_parameter_[p] = 2;
}

void Reductions::begin_micro_batch(int micro_batch) {
    micro_batch_ = micro_batch;
    std::fill(writes_left_.begin(), writes_left_.end(), 0);
    for (std::size_t p = 0; p < context_.parameters.size(); ++p) writes_left_[context_.places[p].unit] += writes_per_parameter_[p];
    if (micro_batch == 0 || states_.sharding.gradients) std::fill(parameter_writes_.begin(), parameter_writes_.end(), 0);
}

TensorId Reductions::whole(std::size_t unit) {
    if (!states_.sharding.gradients) return states_.units[unit].gradient;
    if (!whole_[unit].valid()) {
        const auto& layout = context_.layout(unit);
        const std::string name = fmt::format("{} whole gradients", context_.unit_name(unit));
        const StorageId storage = context_.program.storage(name, layout.padded * context_.element_bytes(), context_.compute_pool, Role::gradient);
        context_.program.at(storage).payload_total = layout.total * context_.element_bytes();
        whole_[unit] = context_.program.tensor(name, storage, context_.dtype(), 1, layout.padded);
    }
    return whole_[unit];
}

void Reductions::allocate(std::size_t unit) {
    if (!states_.sharding.gradients) return;
    if (std::find(in_flight_.begin(), in_flight_.end(), unit) != in_flight_.end()) free_reduced(0);   // from the micro-batch before
    if (allocated_[unit]) return;
    free_reduced(context_.scenario.strategy.overlap_communication ? 1 : 0);
    const auto& layout = context_.layout(unit);
    const TensorId buffer = whole(unit);
    const StorageId storage = context_.program.at(buffer).storage;
    context_.program.alloc(storage);
    allocated_[unit] = true;
    if (layout.padded > layout.total) {   // padding travels too: it must be numbers
        const TensorId padding = context_.program.tensor("padding", storage, context_.dtype(), 1, layout.padded - layout.total,
                                                         {layout.total * context_.element_bytes(), 0, {}});
        context_.program.at(padding).role = Role::padding;
        context_.program.fill(context_.compute, padding, 0);
    }
}

Reductions::Target Reductions::target(std::int32_t index) {
    if (index < 0) return {{}, false};
    const auto place = context_.places[static_cast<std::size_t>(index)];
    allocate(place.unit);
    TensorId& view = views_[static_cast<std::size_t>(index)];
    if (!view.valid()) {
        const auto& parameter = context_.parameters[static_cast<std::size_t>(index)];
        schedule::Tensor tensor = context_.program.at(whole(place.unit));
        tensor.offset.constant += context_.layout(place.unit).segments[place.segment].offset * context_.element_bytes();
        tensor.rows = parameter.rows;
        tensor.columns = tensor.row_stride = parameter.columns;
        tensor.name = context_.program.intern(fmt::format("{} gradient", parameter.name));
        tensor.parameter = index;
        view = context_.program.tensor(tensor);
    }
    return {view, parameter_writes_[static_cast<std::size_t>(index)] > 0};
}

void Reductions::written(std::int32_t index) {
    if (index < 0) return;
    const std::size_t unit = context_.places[static_cast<std::size_t>(index)].unit;
    ++parameter_writes_[static_cast<std::size_t>(index)];
    if (--writes_left_[unit] == 0) reduce(unit);
}

TensorId Reductions::allocate_scratch(std::size_t unit, CollectiveKind kind) {
    // Host ranks receive their peers' slices beside the gradients and add them themselves (comm/); NCCL needs no such room.
    const auto& layout = context_.layout(unit);
    const std::int64_t bytes = context_.scenario.library != kernel::Library::host ? 0
                               : host_reduction_scratch_bytes(kind, kind == CollectiveKind::all_reduce ? layout.padded : layout.shard, context_.element_bytes(), context_.scenario.ranks);
    if (bytes == 0) return {};
    TensorId& tensor = scratch_[unit];
    if (!tensor.valid()) {
        const StorageId storage = context_.program.storage("peers' slices", bytes, context_.reduce_pool, Role::staging);
        tensor = context_.program.tensor("peers' slices", storage, DType::uint8, 1, bytes);
    }
    context_.program.alloc(context_.program.at(tensor).storage);
    return tensor;
}

void Reductions::reduce(std::size_t unit) {
    const bool last = micro_batch_ + 1 == context_.scenario.training.gradient_accumulation;
    if (context_.scenario.ranks == 1 || (!states_.sharding.gradients && !last)) return;
    const auto tags = context_.program.tags;
    context_.program.tags.unit = static_cast<std::int16_t>(unit);
    context_.program.tags.layer = -1;
    states_.sharding.optimizer ? reduce_scatter(unit) : all_reduce(unit);
    context_.program.tags = tags;
    if (states_.sharding.gradients) {
        in_flight_.push_back(unit);
        if (!context_.scenario.strategy.overlap_communication) free_reduced(0);
    }
}

void Reductions::all_reduce(std::size_t unit) {
    const OpId last = emitter_.last();
    schedule::Collective c;
    c.kind = CollectiveKind::all_reduce;
    c.reduction = Reduction::sum;
    c.axis = context_.data_axis;
    c.send = c.receive = whole(unit);
    c.scratch = allocate_scratch(unit, c.kind);
    reduce_ops_[unit] = context_.program.collective(context_.reduce, fmt::format("reduce {}", context_.unit_name(unit)), c, {&last, 1});
    if (c.scratch.valid()) context_.program.free(context_.program.at(c.scratch).storage);
}

void Reductions::reduce_scatter(std::size_t unit) {
    const OpId last = emitter_.last();
    const auto& layout = context_.layout(unit);
    const DType type = context_.dtype();
    const bool adds = states_.sharding.gradients && micro_batch_ > 0;
    const TensorId shard = states_.units[unit].gradient_shard;
    schedule::Collective c;
    c.kind = CollectiveKind::reduce_scatter;
    c.reduction = Reduction::sum;
    c.axis = context_.data_axis;
    c.send = whole(unit);
    c.receive = shard;
    if (adds) {
        if (!staging_[unit].valid()) {
            const StorageId storage = context_.program.storage(fmt::format("{} reduced", context_.unit_name(unit)), layout.shard * size_of(type), context_.reduce_pool, Role::staging);
            staging_[unit] = context_.program.tensor("reduced gradients", storage, type, 1, layout.shard);
        }
        context_.program.alloc(context_.program.at(staging_[unit]).storage);
        c.receive = staging_[unit];
    }
    c.scratch = allocate_scratch(unit, c.kind);
    OpId done = context_.program.collective(context_.reduce, fmt::format("reduce {}", context_.unit_name(unit)), c, {&last, 1});
    if (c.scratch.valid()) context_.program.free(context_.program.at(c.scratch).storage);
    if (adds) {
        done = context_.program.copy(context_.reduce, staging_[unit], shard, true);
        context_.program.free(context_.program.at(staging_[unit]).storage);
    }
    reduce_ops_[unit] = done;
}

void Reductions::free_reduced(std::size_t keep) {
    while (in_flight_.size() > keep) {
        const std::size_t unit = in_flight_.front();
        in_flight_.erase(in_flight_.begin());
        context_.program.free(context_.program.at(whole(unit)).storage, {&reduce_ops_[unit], 1});
        allocated_[unit] = false;
    }
}

void Reductions::end_micro_batch() {
    check(std::all_of(writes_left_.begin(), writes_left_.end(), [](int left) { return left == 0; }), "a parameter got no gradient");
}

}  // namespace zerosim::strategy::zerosim_system
