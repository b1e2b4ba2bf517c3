#include "strategy/megatron/mixed_precision_optimizer.hpp"

#include <utility>

namespace zerosim::strategy::megatron {

using schedule::Role;

void MixedPrecisionOptimizer::make_main_parameters() {
    parts_ = buffers_.owned();
    if (!has_main_parameters()) return declare_trained();
    for (const OwnedPart& part : parts_) {
        tape_.program.tags.layer = static_cast<std::int16_t>(part.parameter->layer);
        const Value clone = tape_.make("clone", part.elements, 1, layout_.parameter_dtype, Role::staging);   // .clone().float()
        main_parameters_.push_back(tape_.make("main_parameter", part.elements, 1, DType::fp32, Role::master_weight));
        const TensorId main = main_parameters_.back().tensor;
        if (layout_.one_rank && part.range.layout.valid()) tape_.program.initialize(layout_.compute, {}, main, part.range);   // as in declare_trained
        tape_.program.copy(layout_.compute, part.value, main);   // rounded to the model's dtype
    }
    tape_.program.tags.layer = -1;
}

/// After the last step the buffer holds what was gathered before it: what is trained, for the executor, are each rank's own parts.
void MixedPrecisionOptimizer::declare_trained() {
    for (const OwnedPart& part : parts_)
        if (layout_.one_rank && part.range.layout.valid()) tape_.program.initialize(layout_.compute, part.value, {}, part.range);
}

void MixedPrecisionOptimizer::make_moments() {
    for (const OwnedPart& part : parts_) {
        tape_.program.tags.layer = static_cast<std::int16_t>(part.parameter->layer);
        first_moments_.push_back(tape_.make("exp_avg", part.elements, 1, DType::fp32, Role::first_moment));
        second_moments_.push_back(tape_.make("exp_avg_sq", part.elements, 1, DType::fp32, Role::second_moment));
        for (const Value* moment : {&first_moments_.back(), &second_moments_.back()}) tape_.fill(*moment, 0);
    }
    tape_.program.tags.layer = -1;
}

/// [_copy_model_grads_to_main_grads]: `.float()` of fp32 gradients is the gradient itself.
void MixedPrecisionOptimizer::copy_gradients() {
    if (layout_.gradient_dtype == DType::fp32) return;
    auto& program = tape_.program;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        if (main_gradients_.size() == i) {
            const StorageId storage = program.storage("main_gradient", parts_[i].elements * size_of(DType::fp32), layout_.pool, Role::optimizer_temporary);
            main_gradients_.push_back(tape_.view("main_gradient", storage, DType::fp32, parts_[i].elements, 1));
        }
        program.alloc(program.at(main_gradients_[i]).storage);
        program.copy(layout_.compute, parts_[i].gradient, main_gradients_[i]);
    }
    holds_gradients_ = true;
}

void MixedPrecisionOptimizer::drop_gradients() {
    if (!std::exchange(holds_gradients_, false)) return;
    for (const TensorId gradient : main_gradients_) tape_.program.free(tape_.program.at(gradient).storage);
}

/// [get_grad_norm_fp32, clip_grad_by_total_norm_fp32]: multi-tensor norm, one all-reduced number, multi-tensor scale. The norm is always
/// computed: it is logged.
void MixedPrecisionOptimizer::clip() {
    auto& program = tape_.program;
    kernel::Attributes a;
    for (const OwnedPart& part : parts_) a.tokens += part.elements;
    const Value norm = squared_norm(a);
    if (layout_.distributed_optimizer) {
        schedule::Collective c;
        c.kind = CollectiveKind::all_reduce;
        c.axis = layout_.shard;
        c.send = c.receive = norm.tensor;
        c.reduction = Reduction::sum;
        c.scalar = true;
        program.wait_stream(layout_.communication, layout_.compute);
        const Buffer room = tape_.reduction_scratch(c, layout_.communication_pool, layout_.shard_ranks);
        const OpId reduced = program.collective(layout_.communication, "grad_norm", c);
        program.host_wait(layout_.compute, std::vector<OpId>{reduced});   // .item()
        program.wait_event(layout_.compute, reduced);
    }
    if (scenario_.training.clip_gradients <= 0 || parts_.empty()) return;
    kernel::Attributes clip;
    clip.value = static_cast<float>(scenario_.training.clip_gradients);
    const Value factor = tape_.make("clip_coeff", 1, 1, DType::fp32, Role::scalar);
    tape_.elementwise(kernel::EagerOperation::clip_factor, "clip_coeff", {norm.tensor}, factor, 1, clip);
    std::vector<TensorId> operands;
    for (std::size_t i = 0; i < parts_.size(); ++i) operands.insert(operands.end(), {gradient(i), factor.tensor});
    program.multi_tensor(layout_.compute, schedule::OpKind::compute, "multi_tensor_scale", kernel::Kernel::scale_tensors, operands, a, {});
}

/// The norms of the tensors, and a second kernel that joins them [multi_tensor_l2norm_kernel.cu, cleanup]. A rank may own padding alone.
Value MixedPrecisionOptimizer::squared_norm(const kernel::Attributes& attributes) {
    auto& program = tape_.program;
    Value total = tape_.make("grad_norm", 1, 1, DType::fp32, Role::scalar);
    if (parts_.empty()) {
        tape_.fill(total, 0);
        return total;
    }
    const Value norms = tape_.make("grad_norms", 1, static_cast<std::int64_t>(parts_.size()), DType::fp32, Role::optimizer_temporary);
    std::vector<TensorId> operands;
    std::vector<schedule::ShardRange> ranges;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        const schedule::Linear place{static_cast<std::int64_t>(i) * size_of(DType::fp32), 0, {}};
        operands.insert(operands.end(), {gradient(i), program.tensor("grad_norms", norms.buffer.storage(), DType::fp32, 1, 1, place)});
        ranges.push_back(parts_[i].range);
    }
    program.multi_tensor(layout_.compute, schedule::OpKind::compute, "multi_tensor_l2norm", kernel::Kernel::norm_tensors, operands, attributes, ranges);
    tape_.elementwise(kernel::EagerOperation::sum_of_squares, "l2norm_cleanup", {norms.tensor}, total);
    return total;
}

void MixedPrecisionOptimizer::step() {
    copy_gradients();
    clip();
    if (parts_.empty()) return;
    if (first_moments_.empty()) make_moments();
    kernel::Attributes a;
    const auto& t = scenario_.training;
    a.learning_rate = static_cast<float>(t.learning_rate);
    a.beta1 = static_cast<float>(t.beta1);
    a.beta2 = static_cast<float>(t.beta2);
    a.epsilon = static_cast<float>(t.epsilon);
    a.weight_decay = static_cast<float>(t.weight_decay);
    std::vector<TensorId> operands;
    std::vector<schedule::ShardRange> ranges;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
        ranges.push_back(parts_[i].range);
        a.tokens += parts_[i].elements;
        operands.insert(operands.end(), {has_main_parameters() ? main_parameters_[i].tensor : parts_[i].value, first_moments_[i].tensor, second_moments_[i].tensor,
                                         gradient(i), TensorId{}});
    }
    tape_.program.multi_tensor(layout_.compute, schedule::OpKind::optimizer, "fused_adam", kernel::Kernel::adamw_tensors, operands, a, ranges);
    if (!has_main_parameters()) return;
    std::vector<TensorId> pairs;   // [_copy_main_params_to_model_params]
    for (std::size_t i = 0; i < parts_.size(); ++i) pairs.insert(pairs.end(), {main_parameters_[i].tensor, parts_[i].value});
    tape_.program.copy_all(layout_.compute, pairs);
}

}  // namespace zerosim::strategy::megatron
