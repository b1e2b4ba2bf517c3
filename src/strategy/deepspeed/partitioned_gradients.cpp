#include "strategy/deepspeed/partitioned_gradients.hpp"

#include <algorithm>

namespace zerosim::strategy::deepspeed {

PartitionedGradients::PartitionedGradients(Engine& engine, torch::LanguageModel& model)
    : engine_(engine),
      groups_(engine, model),
      stage1_(engine.scenario.strategy.zero_stage == 1),
      gradients_(groups_.all().size()),
      padding_(groups_.all().size()) {}

void PartitionedGradients::initialize() {
    groups_.initialize();
    buckets_ = std::make_unique<GradientBuckets>(engine_, groups_, stage1_);
    for (FlatGroup& group : groups_.all()) {
        for (Parameter* p : group.parameters) {
            p->after_accumulate = [this, p] { // [process_gradients]
                buckets_->prepare();
                if (!stage1_ || (engine_.overlap && boundary_)) buckets_->add(*p);
            };
        }
    }
}

torch::StepHooks PartitionedGradients::hooks() {
    torch::StepHooks h;
    h.before_forward = [this](bool last) { begin_micro_batch(last); };
    h.after_backward = [this] { after_backward(); };
    h.optimize = [this] { step(); };
    h.zero_gradients = [this] { engine_.end_step(); };
    return h;
}

void PartitionedGradients::begin_micro_batch(bool last) {
    ++micro_batch_;
    boundary_ = last;
    buckets_->begin_micro_batch(micro_batch_, last);
}

/// Stage 1 without overlap reduces after the whole backward of the last micro-batch, in the order of definition [reduce_gradients].
void PartitionedGradients::after_backward() {
    if (stage1_ && !boundary_) return;
    if (stage1_ && !engine_.overlap)
        for (FlatGroup& group : groups_.all())
            for (Parameter* p : group.parameters) buckets_->add(*p);
    epilogue();
}

void PartitionedGradients::epilogue() {
    buckets_->finish();
    Engine& e = engine_;
    if (e.overlap) { // synchronize()
        const std::vector<OpId> all{e.program.last(e.streams.compute), e.program.last(e.streams.reduce), e.program.last(e.streams.collectives)};
        e.program.host_wait(e.streams.compute, all);
    }
    if (!e.offloads_optimizer())
        for (std::size_t g = 0; g < gradients_.size(); ++g) {
            collect(g);
            if (boundary_) pad(g);
        }
    buckets_->release();
    for (FlatGroup& group : groups_.all())
        for (Parameter* p : group.parameters) p->gradient = {}; // [_clear_param_grad_only]
}

/// [get_all_grad_tensors]: those of the first micro-batch are kept, later ones added to them.
void PartitionedGradients::collect(std::size_t g) {
    std::vector<Value> now;
    for (const FlatGroup::Piece& piece : groups_.all()[g].pieces) now.push_back(piece.parameter->gradient);
    if (gradients_[g].empty()) {
        gradients_[g] = std::move(now);
        return;
    }
    for (std::size_t i = 0; i < now.size(); ++i) engine_.program.copy(engine_.streams.compute, now[i].tensor, gradients_[g][i].tensor, true);
    drop(now);
}

/// A partition beyond the last parameter is filled up with zeros [get_flat_partition].
void PartitionedGradients::pad(std::size_t g) {
    const FlatGroup& group = groups_.all()[g];
    std::int64_t covered = 0;
    for (const FlatGroup::Piece& piece : group.pieces) covered += piece.count;
    if (covered == group.shard) return;
    padding_[g] = engine_.make(engine_.streams.compute, "partition_padding", group.shard - covered, engine_.compute_dtype, Role::padding);
    engine_.program.fill(engine_.streams.compute, padding_[g].tensor, 0);
}

/// Memory of the reduction stream's pool that computation used.
void PartitionedGradients::drop(std::vector<Value>& gradients) {
    for (const Value& value : gradients)
        if (engine_.overlap && value.buffer.valid())
            engine_.tape.memory.used_elsewhere(value.buffer.storage(), engine_.program.last(engine_.streams.compute));
    gradients.clear();
}

void PartitionedGradients::norms() {
    for (std::size_t g = 0; g < gradients_.size(); ++g) {
        const FlatGroup& group = groups_.all()[g];
        std::vector<TensorId> slices;
        std::vector<schedule::ShardRange> ranges;
        std::int64_t at = 0;
        for (std::size_t i = 0; i < group.pieces.size(); ++i) {
            const FlatGroup::Piece& piece = group.pieces[i];
            slices.push_back(engine_.part("own_gradient", gradients_[g][i].tensor, piece.begin, piece.count));
            ranges.push_back({group.layout, {at, engine_.ranks > 1 ? group.shard : 0, engine_.data}, piece.count});
            at += piece.count;
        }
        engine_.add_norm(slices, ranges, true);
    }
}

void PartitionedGradients::step() {
    Engine& e = engine_;
    micro_batch_ = -1;
    if (e.offloads_optimizer()) {
        for (std::size_t g = 0; g < groups_.all().size(); ++g) e.add_kept_norms();
        for (std::size_t g = 0; g < groups_.all().size(); ++g) step_on_host(g);
        e.end_norms();
        return gather_parameters();
    }
    if (e.compute_dtype != DType::fp32) { // check_grad_overflow
        std::vector<TensorId> all;
        for (const auto& gradients : gradients_)
            for (const Value& value : gradients) all.push_back(value.tensor);
        e.check_overflow(all);
    }
    norms();
    for (std::size_t g = 0; g < groups_.all().size(); ++g) step_on_device(g);
    e.end_norms();
    gather_parameters();
}

/// averaged_gradients in one flat tensor, cast to the master's dtype; the narrow ones go.
Value PartitionedGradients::flatten(std::size_t g) {
    Engine& e = engine_;
    const FlatGroup& group = groups_.all()[g];
    Value flat = e.make(e.streams.compute, "flat_gradient", group.shard, e.compute_dtype, Role::optimizer_temporary);
    std::vector<TensorId> pairs;
    std::int64_t at = 0;
    for (std::size_t i = 0; i < group.pieces.size(); ++i) {
        const FlatGroup::Piece& piece = group.pieces[i];
        pairs.push_back(e.part("own_gradient", gradients_[g][i].tensor, piece.begin, piece.count));
        pairs.push_back(e.part("flat_gradient", flat.tensor, at, piece.count));
        at += piece.count;
    }
    if (padding_[g].defined()) pairs.insert(pairs.end(), {padding_[g].tensor, e.part("flat_gradient", flat.tensor, at, group.shard - at)});
    e.program.copy_all(e.streams.compute, pairs);
    if (e.compute_dtype == DType::fp32) return flat;
    Value wide = e.make(e.streams.compute, "fp32_gradient", group.shard, DType::fp32, Role::optimizer_temporary);
    e.program.copy(e.streams.compute, flat.tensor, wide.tensor);
    return wide;
}

void PartitionedGradients::make_moments(FlatGroup& group) {
    if (group.first_moment.defined()) return;
    for (Value* moment : {&group.first_moment, &group.second_moment}) {
        const Role role = moment == &group.first_moment ? Role::first_moment : Role::second_moment;
        *moment = engine_.offloads_optimizer() ? engine_.make_on_host("moment", group.shard, DType::fp32, role, engine_.options.pin_memory)
                                               : engine_.make(engine_.streams.compute, "moment", group.shard, DType::fp32, role);
        engine_.program.fill(engine_.streams.compute, moment->tensor, 0);
    }
}

void PartitionedGradients::step_on_device(std::size_t g) {
    Engine& e = engine_;
    FlatGroup& group = groups_.all()[g];
    const Value gradient = flatten(g);
    drop(gradients_[g]);
    padding_[g] = {};
    e.clip(gradient.tensor);
    make_moments(group);
    e.update("fused_adam", {group.master.tensor, group.first_moment.tensor, group.second_moment.tensor, gradient.tensor},
             {e.shard_range(group.layout, group.shard)});
    e.program.copy(e.streams.compute, group.master.tensor, group.own);
}

void PartitionedGradients::step_on_host(std::size_t g) {
    Engine& e = engine_;
    FlatGroup& group = groups_.all()[g];
    make_moments(group);
    e.clip_on_host(group.gradient.tensor);
    e.update_on_host("cpu_adam", {group.master.tensor, group.first_moment.tensor, group.second_moment.tensor, group.gradient.tensor},
                     {e.shard_range(group.layout, group.shard)});
    e.program.copy(e.streams.host, group.master.tensor, group.staging.tensor);
    e.program.wait_stream(e.streams.compute, e.streams.host);
    e.copy_over_link(e.streams.compute, group.staging.tensor, group.own);
}

/// [all_gather_dp_groups]: one all-gather a group, in place; allgather_bucket_size has no effect where torch has all_gather_into_tensor.
void PartitionedGradients::gather_parameters() {
    for (const FlatGroup& group : groups_.all())
        engine_.collective(CollectiveKind::all_gather, "all_gather", engine_.streams.compute, group.own, group.flat);
}

} // namespace zerosim::strategy::deepspeed
