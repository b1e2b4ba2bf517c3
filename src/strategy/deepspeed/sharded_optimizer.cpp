#include "strategy/deepspeed/sharded_optimizer.hpp"

#include "base/error.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace zerosim::strategy::deepspeed {

ShardedOptimizer::ShardedOptimizer(Engine& engine, torch::LanguageModel& model)
    : engine_(engine), model_(model), parameters_(engine, model), gradients_(engine, parameters_), coordinator_(engine, parameters_) {
    make_sub_groups();
}

/// [_create_fp16_sub_groups]; offload_ratio leaves the first sub-groups on the device.
void ShardedOptimizer::make_sub_groups() {
    for (const Group& group : engine_.groups(model_)) {
        bool open = false;
        for (Parameter* parameter : group.parameters) {
            ShardedParameter& p = parameters_.of(parameter);
            if (!open) groups_.emplace_back().decays = group.decays;
            SubGroup& sub = groups_.back();
            sub.parameters.push_back(&p);
            sub.elements += p.shard;
            open = sub.elements < engine_.options.sub_group;
        }
    }
    if (!engine_.offloads_optimizer()) return;
    const auto on_device = static_cast<std::size_t>((1 - engine_.options.offload_ratio) * static_cast<double>(groups_.size()));
    // [is_swappable_tensor]: of fp32, at least 1 MiB, which is also the default block size of aio.
    constexpr std::int64_t kSmallestSwap = (1 << 20) / 4;
    for (std::size_t i = on_device; i < groups_.size(); ++i) {
        groups_[i].offloaded = true;
        groups_[i].swapped = engine_.scenario.strategy.optimizer_at == Placement::nvme && groups_[i].elements >= kSmallestSwap;
    }
}

std::vector<schedule::ShardRange> ShardedOptimizer::ranges(const SubGroup& group) const {
    std::vector<schedule::ShardRange> all;
    for (const ShardedParameter* p : group.parameters) all.push_back(engine_.shard_range(p->layout, p->shard));
    return all;
}

/// Shards of trained parameters are moved to the host and come back in one buffer, sub-group after sub-group [defragment]; offloaded
/// ones stay there, or go on to a file beyond the first max_in_cpu elements.
void ShardedOptimizer::place_shards() {
    Engine& e = engine_;
    std::int64_t elements = 0, resident = 0;
    for (SubGroup& group : groups_) {
        elements += group.elements;
        group.in_file = e.scenario.strategy.parameters_at == Placement::nvme && resident + group.elements > e.options.max_in_cpu;
        if (!group.in_file) resident += group.elements;
    }
    const bool stays = parameters_.offloads() && resident == elements;
    Value room = e.make_on_host("parameter_shards", elements, e.compute_dtype, Role::parameter_shard, stays && e.options.pin_memory);
    std::vector<TensorId> pairs;
    std::int64_t at = 0;
    for (const SubGroup& group : groups_)
        for (ShardedParameter* p : group.parameters) {
            pairs.insert(pairs.end(), {p->built.tensor, e.part(p->parameter->name, room.tensor, at, p->shard)});
            at += p->shard;
        }
    e.program.copy_all(e.streams.compute, pairs);
    for (SubGroup& group : groups_)
        for (ShardedParameter* p : group.parameters) p->built = {};
    if (stays) {
        shards_ = std::move(room);
    } else if (!parameters_.offloads()) {
        shards_ = e.make(e.streams.compute, "parameter_shards", elements, e.compute_dtype, Role::parameter_shard);
        e.program.copy(e.streams.compute, room.tensor, shards_.tensor);
    } else {
        if (resident > 0) shards_ = e.make_on_host("parameter_shards", resident, e.compute_dtype, Role::parameter_shard, e.options.pin_memory);
        file_ = e.make_on_nvme("parameter_shards", elements - resident, e.compute_dtype, Role::parameter_shard);
    }
    std::int64_t in_memory = 0, in_file = 0, source = 0;
    for (SubGroup& group : groups_) {
        assign_shards(group, group.in_file ? file_.tensor : shards_.tensor, group.in_file ? in_file : in_memory);
        if (room.defined() && parameters_.offloads())
            e.program.copy(e.streams.compute, e.part("sub_group", room.tensor, source, group.elements), group.flat);
        source += group.elements;
    }
}

/// A shard in a file is read into one of buffer_count pinned buffers, in turn.
void ShardedOptimizer::assign_shards(SubGroup& group, TensorId flat, std::int64_t& at) {
    Engine& e = engine_;
    group.flat = e.part("sub_group", flat, at, group.elements);
    for (ShardedParameter* p : group.parameters) {
        p->shard_tensor = e.part(p->parameter->name, flat, at, p->shard);
        e.program.at(p->shard_tensor).parameter = p->parameter->index;
        at += p->shard;
        if (!group.in_file) continue;
        if (p->shard > e.options.parameter_buffer)
            throw ConfigError(fmt::format("strategy.offload-buffer-size is {}; the shard of {} has {} elements and must fit",
                                          e.options.parameter_buffer, p->parameter->name, p->shard));
        if (parameter_buffers_.empty())
            for (std::int64_t i = 0; i < e.options.parameter_buffers; ++i)
                parameter_buffers_.push_back(e.make_on_host("swap_buffer", e.options.parameter_buffer, e.compute_dtype, Role::staging, true));
        p->file_tensor = p->shard_tensor;
        p->shard_tensor = e.part(p->parameter->name, parameter_buffers_[next_buffer_++ % parameter_buffers_.size()].tensor, 0, p->shard);
    }
}

/// buffer_count pinned buffers as long as the largest sub-group in a file: master weights, both moments, gradient.
void ShardedOptimizer::make_swap_buffers() {
    std::int64_t largest = 0;
    for (const SubGroup& group : groups_)
        if (group.swapped) largest = std::max(largest, group.elements);
    if (largest == 0) return;
    for (std::int64_t i = 0; i < std::max<std::int64_t>(engine_.options.optimizer_buffers, 4); ++i)
        state_buffers_.push_back(engine_.make_on_host("state_buffer", largest, DType::fp32, Role::staging, true));
    gradients_.swap_through(state_buffers_.back().tensor);
}

Value ShardedOptimizer::make_state(const SubGroup& group, std::string_view name, Role role) {
    if (group.swapped) return engine_.make_on_nvme(name, group.elements, DType::fp32, role);
    return group.offloaded ? engine_.make_on_host(name, group.elements, DType::fp32, role, engine_.options.pin_memory)
                           : engine_.make(engine_.streams.compute, name, group.elements, DType::fp32, role);
}

/// Shards of frozen parameters stay where zero.Init put them.
void ShardedOptimizer::place_frozen() {
    Engine& e = engine_;
    for (ShardedParameter& p : parameters_.all()) {
        if (p.parameter->trainable) continue;
        if (parameters_.offloads()) p.built = e.make_on_host("frozen_shard", p.shard, e.compute_dtype, Role::parameter_shard, e.options.pin_memory);
        p.shard_tensor = p.built.tensor;
        e.program.initialize(e.streams.compute, p.shard_tensor, {}, e.shard_range(p.layout, p.shard));
    }
}

/// fp32: the flat shards themselves. Else converted and cloned, so that two fp32 copies exist for a moment.
void ShardedOptimizer::make_master(SubGroup& group) {
    Engine& e = engine_;
    Value converted;
    if (group.offloaded) {
        group.master = make_state(group, "master", Role::master_weight);
    } else if (e.compute_dtype != DType::fp32) {
        converted = e.make(e.streams.compute, "converted", group.elements, DType::fp32, Role::staging);
        e.program.copy(e.streams.compute, group.flat, converted.tensor);
        group.master = e.make(e.streams.compute, "master", group.elements, DType::fp32, Role::master_weight);
    }
    const TensorId whole = group.aliased() ? group.flat : group.master.tensor;
    std::int64_t at = 0;
    for (const ShardedParameter* p : group.parameters) {
        e.program.initialize(e.streams.compute, {}, e.part(p->parameter->name, whole, at, p->shard), e.shard_range(p->layout, p->shard));
        at += p->shard;
    }
}

void ShardedOptimizer::initialize() {
    Engine& e = engine_;
    parameters_.construct();
    model_.make_buffers();
    place_shards();
    place_frozen();
    make_swap_buffers();
    std::vector<ShardedParameter*> order;
    std::int64_t largest = 0;
    for (SubGroup& group : groups_) {
        make_master(group);
        order.insert(order.end(), group.parameters.begin(), group.parameters.end());
        if (!e.offloads_optimizer()) largest = std::max(largest, group.elements);
    }
    for (SubGroup& group : groups_) {
        if (!e.offloads_optimizer()) continue;
        group.gradient = make_state(group, "gradient", Role::gradient_shard);
        e.program.fill(e.streams.compute, group.gradient.tensor, 0);
        std::int64_t at = 0;
        for (const ShardedParameter* p : group.parameters) {
            gradients_.offload_to(*p, e.part(p->parameter->name, group.gradient.tensor, at, p->shard));
            at += p->shard;
        }
    }
    // [initialize_optimizer_states]: zeros as long as the largest sub-group, for a moment.
    if (largest > 0) {
        const Value zeros = e.make(e.streams.compute, "zero_gradient", largest, DType::fp32, Role::optimizer_temporary);
    }
    gradients_.initialize(order);
    parameters_.visit_all();
}

torch::StepHooks ShardedOptimizer::hooks() {
    engine_.tape.before_module = [this](const torch::ModuleCall& call, const Value& x) { return coordinator_.before(call, x); };
    engine_.tape.after_module = [this](const torch::ModuleCall& call, const Value& y) { return coordinator_.after(call, y); };
    for (Parameter& p : model_.parameters())
        if (p.trainable) p.after_accumulate = [this, &p] { gradients_.add(p); };
    torch::StepHooks h;
    h.before_forward = [this](bool last) {
        ++micro_batch_;
        gradients_.begin_micro_batch(micro_batch_, last);
        coordinator_.begin_micro_batch(micro_batch_ == 0);
    };
    h.after_backward = [this] { gradients_.finish(); };
    h.optimize = [this] { step(); };
    h.zero_gradients = [this] { engine_.end_step(); };
    return h;
}

void ShardedOptimizer::make_moments(SubGroup& group) {
    if (group.first_moment.defined()) return;
    Engine& e = engine_;
    for (Value* moment : {&group.first_moment, &group.second_moment}) {
        const Role role = moment == &group.first_moment ? Role::first_moment : Role::second_moment;
        *moment = make_state(group, "moment", role);
        e.program.fill(e.streams.compute, moment->tensor, 0);
    }
}

void ShardedOptimizer::step() {
    Engine& e = engine_;
    micro_batch_ = -1;
    coordinator_.release_all();
    std::vector<TensorId> all;
    for (const SubGroup& group : groups_)
        for (const ShardedParameter* p : group.parameters) all.push_back(gradients_.shard(*p));
    if (e.compute_dtype == DType::fp16 && !e.offloads_optimizer()) e.check_overflow(all);
    std::size_t first = 0;
    for (const SubGroup& group : groups_) { // [_get_norm_groups]: an all-reduce for each sub-group
        const std::vector<TensorId> own(all.begin() + static_cast<std::ptrdiff_t>(first),
                                        all.begin() + static_cast<std::ptrdiff_t>(first + group.parameters.size()));
        e.offloads_optimizer() ? e.add_kept_norms() : e.add_norm(own, ranges(group), true);
        first += group.parameters.size();
    }
    for (SubGroup& group : groups_) group.offloaded ? update_on_host(group) : update_on_device(group);
    e.end_norms();
    parameters_.gather_persistent();
}

/// torch._utils._flatten_dense_tensors copies several, and takes one as it is.
TensorId ShardedOptimizer::flatten(SubGroup& group, Value& room) {
    Engine& e = engine_;
    if (group.parameters.size() == 1) return gradients_.shard(*group.parameters.front());
    room = e.make(e.streams.compute, "flat_gradient", group.elements, e.compute_dtype, Role::optimizer_temporary);
    std::vector<TensorId> pairs;
    std::int64_t at = 0;
    for (const ShardedParameter* p : group.parameters) {
        pairs.insert(pairs.end(), {gradients_.shard(*p), e.part("flat_gradient", room.tensor, at, p->shard)});
        at += p->shard;
    }
    e.program.copy_all(e.streams.compute, pairs);
    return room.tensor;
}

void ShardedOptimizer::update_on_device(SubGroup& group) {
    Engine& e = engine_;
    Value flat, wide;
    // Beside offloaded sub-groups, those on the device have an fp32 gradient of their own.
    TensorId gradient = group.gradient.defined() ? group.gradient.tensor : flatten(group, flat);
    if (e.compute_dtype != DType::fp32 && !group.gradient.defined()) {
        wide = e.make(e.streams.compute, "fp32_gradient", group.elements, DType::fp32, Role::optimizer_temporary);
        e.program.copy(e.streams.compute, gradient, wide.tensor);
        gradient = wide.tensor;
        flat = {};
    }
    e.clip(gradient);
    make_moments(group);
    e.update("fused_adam", {group.aliased() ? group.flat : group.master.tensor, group.first_moment.tensor, group.second_moment.tensor, gradient},
             ranges(group));
    if (!group.aliased()) e.program.copy(e.streams.compute, group.master.tensor, group.flat);
}

void ShardedOptimizer::update_on_host(SubGroup& group) {
    Engine& e = engine_;
    make_moments(group);
    if (group.swapped) return update_swapped(group);
    e.clip_on_host(group.gradient.tensor);
    e.update_on_host("cpu_adam", {group.master.tensor, group.first_moment.tensor, group.second_moment.tensor, group.gradient.tensor}, ranges(group));
    store(group, group.master.tensor);
}

/// [_optimizer_states_and_gradient_swap_in, _out]: 16 bytes an element read, 12 written; without pipeline_read and _write one after another.
void ShardedOptimizer::update_swapped(SubGroup& group) {
    Engine& e = engine_;
    const std::array<TensorId, 4> files{group.master.tensor, group.first_moment.tensor, group.second_moment.tensor, group.gradient.tensor};
    std::array<TensorId, 4> buffers;
    for (std::size_t i = 0; i < files.size(); ++i) {
        const Value& buffer = i == 3 ? state_buffers_.back() : state_buffers_[i];
        buffers[i] = e.part("state_buffer", buffer.tensor, 0, group.elements);
        e.program.copy(e.streams.compute, files[i], buffers[i]);
    }
    e.clip_on_host(buffers[3]);
    e.update_on_host("cpu_adam", buffers, ranges(group));
    store(group, buffers[0]);
    for (std::size_t i = 0; i < 3; ++i) e.program.copy(e.streams.compute, buffers[i], files[i]);
}

/// fp16_partitioned_groups_flat.copy_(fp32): to the device, or with offloaded parameters on the host or to their file.
void ShardedOptimizer::store(SubGroup& group, TensorId master) {
    Engine& e = engine_;
    const bool on_host = parameters_.offloads() && !group.in_file;
    if (on_host) e.program.copy(e.streams.host, master, group.flat);
    if (on_host || group.in_file || e.compute_dtype == DType::fp32) {
        e.program.wait_stream(e.streams.compute, e.streams.host);
        if (!on_host) e.copy_over_link(e.streams.compute, master, group.flat, true);
        return;
    }
    // A blocking copy to the device converts on the CPU first, into a new pageable tensor (Copy.cu, copy_kernel_cuda).
    const Value narrow = e.make_on_host("parameters_on_host", group.elements, e.compute_dtype, Role::staging, false);
    e.program.copy(e.streams.host, master, narrow.tensor);
    e.program.wait_stream(e.streams.compute, e.streams.host);
    e.copy_over_link(e.streams.compute, narrow.tensor, group.flat);
}

} // namespace zerosim::strategy::deepspeed
