#include "strategy/deepspeed/flat_groups.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::strategy::deepspeed {
namespace {

// NCCL's all-gather starts at multiples of 4 bytes [nccl_start_alignment_factor].
constexpr std::int64_t kAlignment = 2;

} // namespace

FlatGroups::FlatGroups(Engine& engine, torch::LanguageModel& model) : engine_(engine), model_(model) {
    for (Group& group : engine.groups(model)) {
        FlatGroup& flat = groups_.emplace_back();
        flat.decays = group.decays;
        flat.parameters = std::move(group.parameters);
        if (engine.options.round_robin_gradients) { // [_round_robin_reorder]
            std::vector<Parameter*> reordered;
            for (std::int64_t first = 0; first < engine.ranks; ++first)
                for (std::size_t i = static_cast<std::size_t>(first); i < flat.parameters.size(); i += static_cast<std::size_t>(engine.ranks))
                    reordered.push_back(flat.parameters[i]);
            flat.parameters = std::move(reordered);
        }
        for (const Parameter* p : flat.parameters) {
            flat.offsets.push_back(flat.total);
            flat.total += p->elements();
        }
        flat.shard = ceil_div(flat.total, kAlignment * engine.ranks) * kAlignment;
        flat.layout = engine.flat_layout(fmt::format("group {}", groups_.size() - 1), flat.parameters, flat.shard * engine.ranks, flat.decays);
        const std::int64_t first = engine.rank * flat.shard, last = first + flat.shard;
        for (std::size_t i = 0; i < flat.parameters.size(); ++i) {
            const std::int64_t from = std::max(first, flat.offsets[i]), to = std::min(last, flat.offsets[i] + flat.parameters[i]->elements());
            if (from < to) flat.pieces.push_back({flat.parameters[i], from - flat.offsets[i], to - from});
        }
    }
}

/// Each group's parameters are copied into the flat buffer and their own memory goes.
void FlatGroups::flatten(FlatGroup& group, std::unordered_map<const Parameter*, Value>& apart) {
    Engine& e = engine_;
    const std::int64_t width = size_of(e.compute_dtype), padded = group.shard * e.ranks;
    group.storage = e.program.storage("flat parameters", padded * width, e.streams.compute_pool, Role::parameter);
    e.program.at(group.storage).payload_total = group.total * width;
    e.program.alloc(group.storage);
    group.flat = e.program.tensor("flat parameters", group.storage, e.compute_dtype, 1, padded);
    group.own = e.program.tensor("own partition", group.storage, e.compute_dtype, 1, group.shard, {0, e.ranks > 1 ? group.shard * width : 0, e.data});
    std::vector<TensorId> pairs;
    for (std::size_t i = 0; i < group.parameters.size(); ++i) {
        Parameter& p = *group.parameters[i];
        const TensorId place = e.part(p.name, group.flat, group.offsets[i], p.elements());
        pairs.insert(pairs.end(), {apart.at(&p).tensor, place});
        p.value.tensor = e.shaped(p, place);
    }
    e.program.copy_all(e.streams.compute, pairs);
    if (padded > group.total) e.program.fill(e.streams.compute, e.part("padding", group.flat, group.total, padded - group.total), 0);
    for (const Parameter* p : group.parameters) apart.erase(p);
}

/// A clone of the partition, cast; it stays beside the parameters even where both are fp32.
void FlatGroups::make_master(FlatGroup& group) {
    Engine& e = engine_;
    Value clone = e.make(e.streams.compute, "partition_clone", group.shard, e.compute_dtype, Role::staging);
    e.program.copy(e.streams.compute, group.own, clone.tensor);
    if (e.offloads_optimizer()) {
        group.master = e.make_on_host("master", group.shard, DType::fp32, Role::master_weight, e.options.pin_memory);
        group.staging = e.make_on_host("parameter_staging", group.shard, e.compute_dtype, Role::staging, e.options.pin_memory);
    } else if (e.compute_dtype == DType::fp32) {
        group.master = std::move(clone);
        e.program.at(group.master.tensor).role = e.program.at(group.master.buffer.storage()).role = Role::master_weight;
    } else {
        group.master = e.make(e.streams.compute, "master", group.shard, DType::fp32, Role::master_weight);
    }
    e.program.initialize(e.streams.compute, {}, group.master.tensor, e.shard_range(group.layout, group.shard));
}

/// The module is moved to the device parameter by parameter.
std::unordered_map<const Parameter*, Value> FlatGroups::move_module() {
    std::unordered_map<const Parameter*, Value> apart;
    for (Parameter& p : model_.parameters()) {
        if (p.trainable) {
            apart.emplace(&p, engine_.build(p));
        } else {
            engine_.place_whole(p);
        }
    }
    model_.make_buffers();
    return apart;
}

void FlatGroups::initialize() {
    Engine& e = engine_;
    auto apart = move_module();
    for (FlatGroup& group : groups_) {
        flatten(group, apart);
        make_master(group);
        for (Parameter* p : group.parameters) e.tape.require_gradient(*p);
    }
    // [initialize_optimizer_states]: zero gradients of all groups at once; offloaded they stay.
    std::vector<Value> zeros;
    for (FlatGroup& group : groups_) {
        if (e.offloads_optimizer()) {
            group.gradient = e.make_on_host("gradient", group.shard, DType::fp32, Role::gradient_shard, e.options.pin_memory);
            e.program.fill(e.streams.compute, group.gradient.tensor, 0);
        } else {
            zeros.push_back(e.make(e.streams.compute, "zero_gradient", group.shard, DType::fp32, Role::optimizer_temporary));
        }
    }
}

} // namespace zerosim::strategy::deepspeed
