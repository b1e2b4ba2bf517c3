// The arithmetic of a step: overflow checks, norms, clipping, updates. Sources: DeepSpeed runtime/zero/stage_1_and_2.py and stage3.py
// (_has_inf_or_nan, get_grad_norm_direct, unscale_and_clip_grads).
#include "strategy/deepspeed/engine.hpp"

namespace zerosim::strategy::deepspeed {

void Engine::overflow_room(StreamId stream, TensorId gradient) {
    const std::int64_t elements = program.at(gradient).elements();
    const Value wide = make(stream, "overflow_float", elements, DType::fp32, Role::optimizer_temporary);
    program.copy(stream, gradient, wide.tensor);
    const Buffer flags = tape.memory.allocate("overflow_flags", 3 * elements, pool_of(stream), Role::optimizer_temporary);
    const Value count = make(stream, "overflow_count", elements, DType::fp32, Role::optimizer_temporary);
    program.fill(stream, count.tensor, 0);
}

void Engine::check_overflow(const std::vector<TensorId>& gradients) {
    for (const TensorId gradient : gradients) overflow_room(streams.compute, gradient);
    const Value flag = make(streams.compute, "overflow", 1, DType::fp32, Role::scalar);
    program.fill(streams.compute, flag.tensor, 0);
    const OpId known = collective(CollectiveKind::all_reduce, "overflow", streams.compute, flag.tensor, flag.tensor, true, true);
    program.host_wait(streams.compute, {&known, 1}); // .item()
}

/// gradient.double().norm(2) into `norm`.
void Engine::norm_of(StreamId stream, TensorId gradient, schedule::ShardRange range, TensorId norm) {
    const Value wide = make(stream, "gradient_double", program.at(gradient).elements(), DType::fp64, Role::optimizer_temporary);
    program.copy(stream, gradient, wide.tensor);
    kernel::Attributes a;
    a.tokens = program.at(gradient).elements();
    program.multi_tensor(stream, schedule::OpKind::compute, "vector_norm", kernel::Kernel::norm_tensors, std::vector<TensorId>{gradient, norm}, a,
                         {&range, 1});
}

/// Of `norms`, or nothing if there are none; the sum over the ranks is one number.
void Engine::sum_squares(TensorId norms, bool over_ranks) {
    norms_.push_back(make(streams.compute, "squared_norm", 1, DType::fp32, Role::scalar));
    if (norms.valid()) {
        kernel::Attributes a;
        a.tokens = a.out = a.in = 1;
        a.operation = kernel::EagerOperation::sum_of_squares;
        program.compute(streams.compute, "sum_of_squares", kernel::Kernel::elementwise, std::vector<TensorId>{norms, {}, {}, norms_.back().tensor},
                        a);
    } else {
        program.fill(streams.compute, norms_.back().tensor, 0);
    }
    if (over_ranks) collective(CollectiveKind::all_reduce, "norm", streams.compute, norms_.back().tensor, norms_.back().tensor, true, true);
}

void Engine::add_norm(const std::vector<TensorId>& gradients, const std::vector<schedule::ShardRange>& ranges, bool over_ranks) {
    if (gradients.empty()) return sum_squares({}, over_ranks);
    std::vector<Buffer> scalars;
    const Value norms = make(streams.compute, "norms", static_cast<std::int64_t>(gradients.size()), DType::fp32, Role::optimizer_temporary);
    for (std::size_t i = 0; i < gradients.size(); ++i) {
        norm_of(streams.compute, gradients[i], ranges[i], slice(norms.tensor, static_cast<std::int64_t>(i), 1));
        scalars.push_back(tape.memory.allocate("norm", size_of(DType::fp64), streams.compute_pool, Role::optimizer_temporary));
    }
    sum_squares(norms.tensor, over_ranks);
}

void Engine::keep_norm(StreamId stream, TensorId gradient, schedule::ShardRange range, std::int64_t most) {
    if (!kept_norms_.defined()) kept_norms_ = make(stream, "norms", most, DType::fp32, Role::optimizer_temporary);
    norm_of(stream, gradient, range, slice(kept_norms_.tensor, kept_count_++, 1));
}

/// The first group takes the norms of all.
void Engine::add_kept_norms() {
    sum_squares(kept_count_ > 0 ? slice(kept_norms_.tensor, 0, kept_count_) : TensorId{}, true);
    if (kept_count_ > 0) tape.memory.used_elsewhere(kept_norms_.buffer.storage(), program.last(streams.compute));
    kept_norms_ = {};
    kept_count_ = 0;
    const OpId known = program.last(streams.compute);
    program.host_wait(streams.compute, {&known, 1}); // .item()
}

/// From the norms of all groups.
void Engine::make_factor() {
    if (factor_.defined()) return;
    for (std::size_t i = 1; i < norms_.size(); ++i) program.copy(streams.compute, norms_[i].tensor, norms_.front().tensor, true);
    factor_ = make(streams.compute, "clip_factor", 1, DType::fp32, Role::scalar);
    kernel::Attributes a;
    a.tokens = a.out = a.in = 1;
    a.operation = kernel::EagerOperation::clip_factor;
    a.value = scenario.training.clip_gradients > 0 ? static_cast<float>(scenario.training.clip_gradients) : 3e38F; // off: never less than 1
    program.compute(streams.compute, "clip_factor", kernel::Kernel::elementwise, std::vector<TensorId>{norms_.front().tensor, {}, {}, factor_.tensor},
                    a);
}

void Engine::clip(TensorId gradient) {
    make_factor();
    kernel::Attributes a;
    a.tokens = program.at(gradient).elements();
    program.compute(streams.compute, "mul_", kernel::Kernel::scale_tensors, std::vector<TensorId>{gradient, factor_.tensor}, a);
}

void Engine::clip_on_host(TensorId gradient) {
    make_factor();
    if (!host_factor_.defined()) {
        host_factor_ = make_on_host("clip_factor", 1, DType::fp32, Role::scalar, false);
        program.copy(streams.compute, factor_.tensor, host_factor_.tensor);
    }
    program.wait_stream(streams.host, streams.compute);
    kernel::Attributes a;
    a.tokens = program.at(gradient).elements();
    program.host_compute(streams.host, "mul_", kernel::Kernel::scale_tensors, std::vector<TensorId>{gradient, host_factor_.tensor}, a);
}

void Engine::end_norms() {
    if (host_factor_.defined()) tape.memory.used_elsewhere(host_factor_.buffer.storage(), program.last(streams.host));
    norms_.clear();
    factor_ = host_factor_ = {};
}

void Engine::end_step() {
    std::vector<OpId> ends;
    for (const StreamId stream : {streams.gather, streams.reduce, streams.collectives, streams.host})
        if (stream != streams.compute) ends.push_back(program.last(stream));
    program.mark(streams.compute, "step_end", ends);
}

OpId Engine::emit_update(StreamId stream, schedule::OpKind kind, std::string_view name, const std::vector<std::array<TensorId, 4>>& tensors,
                         const std::vector<schedule::ShardRange>& ranges) {
    const auto& t = scenario.training;
    kernel::Attributes a;
    a.learning_rate = static_cast<float>(t.learning_rate);
    a.beta1 = static_cast<float>(t.beta1);
    a.beta2 = static_cast<float>(t.beta2);
    a.epsilon = static_cast<float>(t.epsilon);
    a.weight_decay = static_cast<float>(t.weight_decay); // of ranges whose layouts decay
    std::vector<TensorId> operands;
    operands.reserve(5 * tensors.size());
    for (const auto& group : tensors) {
        a.tokens += program.at(group[0]).elements();
        operands.insert(operands.end(), group.begin(), group.end());
        operands.push_back({}); // the step count is the host's
    }
    return program.multi_tensor(stream, kind, name, kernel::Kernel::adamw_tensors, operands, a, ranges);
}

std::vector<std::array<TensorId, 4>> Engine::pieces(const std::array<TensorId, 4>& flat, const std::vector<schedule::ShardRange>& ranges) {
    if (ranges.size() == 1) return {flat};
    std::vector<std::array<TensorId, 4>> all;
    all.reserve(ranges.size());
    std::int64_t at = 0;
    for (const schedule::ShardRange& range : ranges) {
        auto& group = all.emplace_back();
        for (std::size_t i = 0; i < flat.size(); ++i) group[i] = slice(flat[i], at, range.count);
        at += range.count;
    }
    return all;
}

void Engine::update(std::string_view name, const std::array<TensorId, 4>& flat, const std::vector<schedule::ShardRange>& ranges) {
    update_tensors(name, pieces(flat, ranges), ranges);
}

void Engine::update_tensors(std::string_view name, const std::vector<std::array<TensorId, 4>>& tensors,
                            const std::vector<schedule::ShardRange>& ranges) {
    emit_update(streams.compute, schedule::OpKind::optimizer, name, tensors, ranges);
}

void Engine::update_on_host(std::string_view name, const std::array<TensorId, 4>& flat, const std::vector<schedule::ShardRange>& ranges) {
    program.wait_stream(streams.host, streams.compute);
    const OpId updated = emit_update(streams.host, schedule::OpKind::host_compute, name, pieces(flat, ranges), ranges);
    program.host_wait(streams.compute, std::vector{updated});
}

} // namespace zerosim::strategy::deepspeed
