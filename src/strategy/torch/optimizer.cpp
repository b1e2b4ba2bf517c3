#include "strategy/torch/optimizer.hpp"

#include <algorithm>

namespace zerosim::strategy::torch {

using schedule::Role;

/// torch._foreach_norm (native/cuda/ForeachReduceOp.cu): partial results of chunks of 65536 elements of every tensor, then one
/// scalar tensor each.
void OptimizerStep::clip(const std::vector<Updated>& gradients, std::optional<NormReduction> reduction) {
    constexpr std::int64_t kChunk = 65536;
    std::int64_t largest = 0;
    for (const Updated& gradient : gradients) largest = std::max(largest, gradient.elements);
    if (largest == 0) return;
    Buffer partial = tape_.memory.allocate("norm_partials", 4 * static_cast<std::int64_t>(gradients.size()) * ((largest + kChunk - 1) / kChunk),
                                           tape_.options.pool, Role::optimizer_temporary);
    Values norms;
    std::vector<TensorId> operands, each;
    std::int64_t elements = 0;
    for (const Updated& gradient : gradients) {
        norms.push_back(tape_.make("norm", 1, 1, DType::fp32, Role::optimizer_temporary));
        each.push_back(norms.back().tensor);
        operands.insert(operands.end(), {gradient.gradient, each.back()});
        elements += gradient.elements;
    }
    if (!gradients.front().gradient.valid()) return;   // planned by sizes alone
    std::vector<schedule::ShardRange> ranges;
    for (const Updated& gradient : gradients) ranges.push_back(gradient.range);
    tape_.program.multi_tensor(tape_.options.stream, schedule::OpKind::compute, "foreach_norm", kernel::Kernel::norm_tensors, operands, attributes(elements), ranges);
    partial.reset();
    scale_gradients(gradients, total_squares(each, reduction));
}

/// vector_norm of the stacked norms; of sharded gradients (DTensor's _NormPartial) squared, summed over the ranks.
Value OptimizerStep::total_squares(const std::vector<TensorId>& norms, std::optional<NormReduction> reduction) {
    const Value stacked = tape_.make("stacked_norms", 1, static_cast<std::int64_t>(norms.size()), DType::fp32, Role::optimizer_temporary);
    std::vector<TensorId> pairs;
    for (std::size_t i = 0; i < norms.size(); ++i) {
        const schedule::Linear place{static_cast<std::int64_t>(i) * size_of(DType::fp32), 0, {}};
        pairs.insert(pairs.end(), {norms[i], tape_.program.tensor("stacked_norms", stacked.buffer.storage(), DType::fp32, 1, 1, place)});
    }
    tape_.program.copy_all(tape_.options.stream, pairs);
    Value squares = tape_.make("total_norm", 1, 1, DType::fp32, Role::optimizer_temporary);
    tape_.elementwise(kernel::EagerOperation::sum_of_squares, "total_norm", {stacked.tensor}, squares);
    if (!reduction) return squares;
    schedule::Collective c;
    c.kind = CollectiveKind::all_reduce;
    c.axis = reduction->axis;
    c.send = c.receive = squares.tensor;
    c.reduction = Reduction::sum;
    c.scalar = true;
    tape_.program.wait_stream(reduction->stream, tape_.options.stream);
    tape_.program.wait_event(tape_.options.stream, tape_.program.collective(reduction->stream, "all_reduce_norm", c));
    return squares;
}

/// clip_coef, and foreach_mul_ of the gradients by it.
void OptimizerStep::scale_gradients(const std::vector<Updated>& gradients, const Value& squares) {
    kernel::Attributes clip;
    clip.value = static_cast<float>(scenario_.training.clip_gradients);
    const Value factor = tape_.make("clip_coef", 1, 1, DType::fp32, Role::optimizer_temporary);
    tape_.elementwise(kernel::EagerOperation::clip_factor, "clip_coef", {squares.tensor}, factor, 1, clip);
    std::vector<TensorId> operands;
    std::int64_t elements = 0;
    for (const Updated& gradient : gradients) {
        operands.insert(operands.end(), {gradient.gradient, factor.tensor});
        elements += gradient.elements;
    }
    tape_.program.multi_tensor(tape_.options.stream, schedule::OpKind::compute, "foreach_mul_", kernel::Kernel::scale_tensors, operands, attributes(elements), {});
}

kernel::Attributes OptimizerStep::attributes(std::int64_t elements) const {
    const Training& t = scenario_.training;
    kernel::Attributes a;
    a.tokens = elements;
    a.learning_rate = static_cast<float>(t.learning_rate);
    a.beta1 = static_cast<float>(t.beta1);
    a.beta2 = static_cast<float>(t.beta2);
    a.epsilon = static_cast<float>(t.epsilon);
    a.weight_decay = static_cast<float>(t.weight_decay);
    a.accumulate_second = t.optimizer == Optimizer::adamw_foreach; // several kernels: cost/optimizer_cost
    return a;
}

/// [get_state_buffer]: paged optimizers keep states of 1e5 elements and more in CUDA's unified memory (cudaMallocManaged), outside the
/// allocator; where they lie is the driver's choice, and they are counted on the host.
void OptimizerStep::keep_state(const char* name, std::int64_t elements, DType dtype, Role role) {
    constexpr std::int64_t kPagedFrom = 100'000;
    const Optimizer kind = scenario_.training.optimizer;
    const bool paged = kind == Optimizer::adamw_paged || kind == Optimizer::adamw_8bit_paged;
    TensorId& kept = role == Role::first_moment ? of_.back().first : of_.back().second;
    if (paged && elements >= kPagedFrom) {
        host_states_.push_back(tape_.memory.allocate(name, elements * size_of(dtype), tape_.options.pool, role, schedule::Space::host));
        kept = tape_.view(name, host_states_.back().storage(), dtype, elements, 1);
    } else {
        states_.push_back(tape_.make(name, elements, 1, dtype, role));
        kept = states_.back().tensor;
    }
}

/// bitsandbytes optim/optimizer.py, Optimizer2State.init_state: 8 bits from 4,096 elements on, with an fp32 absmax for each block of 256
/// (2,048 before 0.44) and two maps of 256 fp32 for all.
void OptimizerStep::make_8bit_state(const Updated& t) {
    constexpr std::int64_t kSmallest = 4096, kBlock = 256, kMap = 256 * 4;
    const bool narrow = t.elements >= kSmallest;
    const DType dtype = narrow ? DType::uint8 : DType::fp32;
    if (narrow && !signed_map_.valid()) {
        signed_map_ = tape_.memory.allocate("dynamic_map", kMap, tape_.options.pool, Role::constant);
        unsigned_map_ = tape_.memory.allocate("unsigned_dynamic_map", kMap, tape_.options.pool, Role::constant);
    }
    keep_state("state1", t.elements, dtype, Role::first_moment);
    keep_state("state2", t.elements, dtype, Role::second_moment);
    if (!narrow) return;
    const std::int64_t blocks = (t.elements + kBlock - 1) / kBlock;
    states_.push_back(tape_.make("absmax1", blocks, 1, DType::fp32, Role::first_moment));
    states_.push_back(tape_.make("absmax2", blocks, 1, DType::fp32, Role::second_moment));
}

void OptimizerStep::make_state(const Updated& t) {
    const Optimizer kind = scenario_.training.optimizer;
    tape_.program.tags.layer = static_cast<std::int16_t>(t.layer);
    of_.push_back({t.parameter, {}, {}, {}});
    switch (kind) {
        case Optimizer::adamw_8bit:
        case Optimizer::adamw_8bit_paged: return make_8bit_state(t);
        case Optimizer::adamw_paged:   // bitsandbytes' 32-bit states, whatever the parameter's dtype
            keep_state("state1", t.elements, DType::fp32, Role::first_moment);
            return keep_state("state2", t.elements, DType::fp32, Role::second_moment);
        case Optimizer::sgd_momentum: return keep_state("momentum_buffer", t.elements, t.dtype, Role::first_moment);
        case Optimizer::adamw:   // fused AdamW keeps its step count on the device
            states_.push_back(tape_.make("step", 1, 1, DType::fp32, Role::scalar));
            of_.back().step = states_.back().tensor;
            [[fallthrough]];
        case Optimizer::adamw_foreach:
            keep_state("exp_avg", t.elements, t.dtype, Role::first_moment);
            keep_state("exp_avg_sq", t.elements, t.dtype, Role::second_moment);
    }
}

void OptimizerStep::make_states(const std::vector<Updated>& tensors) {
    for (const Updated& t : tensors) make_state(t);
    tape_.program.tags.layer = -1;
    clear_states(0);
    made_ = true;
}

void OptimizerStep::step(const std::vector<Updated>& tensors) {
    if (!made_) make_states(tensors);
    std::int64_t elements = 0;
    for (const Updated& t : tensors) elements += t.elements;
    if (elements > 0) update(tensors, elements);
}

void OptimizerStep::step_one(const Updated& tensor) {
    const schedule::Tags tags = tape_.program.tags;
    if (std::ranges::find(updated_alone_, tensor.parameter) == updated_alone_.end()) {
        updated_alone_.push_back(tensor.parameter);
        make_state(tensor);
        clear_states(of_.size() - 1);
    }
    update({tensor}, tensor.elements);
    tape_.program.tags = tags;
}

void OptimizerStep::update(const std::vector<Updated>& tensors, std::int64_t elements) {
    Values roots;
    // foreach AdamW: _foreach_sqrt of all second moments.
    if (scenario_.training.optimizer == Optimizer::adamw_foreach)
        for (const Updated& t : tensors) roots.push_back(tape_.make("exp_avg_sq_sqrt", t.elements, 1, t.dtype, Role::optimizer_temporary));
    const bool adam = scenario_.training.optimizer != Optimizer::sgd_momentum;
    std::vector<TensorId> operands;
    std::vector<schedule::ShardRange> ranges;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const Updated& t = tensors[i];
        if (t.elements == 0) continue;
        const bool in_order = i < of_.size() && of_[i].parameter == t.parameter;
        const auto known = in_order ? of_.begin() + static_cast<std::ptrdiff_t>(i) : std::ranges::find(of_, t.parameter, &State::parameter);
        const State& state = known != of_.end() ? *known : of_.at(i);   // views made anew every step come in the same order
        const TensorId gradient = t.gradient.valid() ? t.gradient : t.parameter;
        adam ? operands.insert(operands.end(), {t.parameter, state.first, state.second, gradient, state.step})
             : operands.insert(operands.end(), {t.parameter, state.first, gradient});
        ranges.push_back(t.range);
    }
    tape_.program.multi_tensor(tape_.options.stream, schedule::OpKind::optimizer, "optimizer_step", adam ? kernel::Kernel::adamw_tensors : kernel::Kernel::sgd_tensors,
                               operands, attributes(elements), ranges);
}

/// zeros_like, of the states made since `from`.
void OptimizerStep::clear_states(std::size_t from) {
    std::vector<TensorId> all;
    for (std::size_t i = from; i < of_.size(); ++i)
        for (const TensorId state : {of_[i].step, of_[i].first, of_[i].second})
            if (state.valid()) all.push_back(state);
    if (!all.empty()) tape_.program.fill_all(tape_.options.stream, all, 0);
}

void OptimizerStep::make_host_states(const std::vector<Updated>& tensors, PoolId pool) {
    const bool adam = scenario_.training.optimizer != Optimizer::sgd_momentum;
    std::vector<TensorId> all;
    for (const Updated& t : tensors) {
        const auto make = [&](const char* name, Role role) {
            host_states_.push_back(tape_.memory.allocate(name, t.elements * size_of(t.dtype), pool, role, schedule::Space::host));
            return all.emplace_back(tape_.view(name, host_states_.back().storage(), t.dtype, t.elements, 1));
        };
        const TensorId first = make(adam ? "exp_avg" : "momentum_buffer", Role::first_moment);
        of_.push_back({t.parameter, {}, first, adam ? make("exp_avg_sq", Role::second_moment) : TensorId{}});
    }
    host_ = tape_.program.stream("cpu", schedule::StreamKind::host);
    if (!all.empty()) tape_.program.fill_all(host_, all, 0);
}

/// The Python thread does the update itself: nothing is issued before it is done.
void OptimizerStep::step_on_host(const std::vector<Updated>& tensors, PoolId pool) {
    if (host_states_.empty()) make_host_states(tensors, pool);
    const bool adam = scenario_.training.optimizer != Optimizer::sgd_momentum;
    std::int64_t elements = 0;
    std::vector<TensorId> operands;
    std::vector<schedule::ShardRange> ranges;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const Updated& t = tensors[i];
        const TensorId gradient = t.gradient.valid() ? t.gradient : t.parameter;
        adam ? operands.insert(operands.end(), {t.parameter, of_[i].first, of_[i].second, gradient, TensorId{}})
             : operands.insert(operands.end(), {t.parameter, of_[i].first, gradient});
        ranges.push_back(t.range);
        elements += t.elements;
    }
    if (elements == 0) return;
    const OpId updated = tape_.program.multi_tensor(host_, schedule::OpKind::host_compute, "optimizer_step",
                                                    adam ? kernel::Kernel::adamw_tensors : kernel::Kernel::sgd_tensors, operands, attributes(elements), ranges);
    tape_.program.host_wait(tape_.options.stream, std::vector{updated});
}

}  // namespace zerosim::strategy::torch
