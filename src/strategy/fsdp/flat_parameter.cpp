#include "strategy/fsdp/flat_parameter.hpp"

#include "base/error.hpp"

#include <algorithm>
#include <utility>

namespace zerosim::strategy::fsdp {

using schedule::Role;

namespace {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return ceil_div(value, multiple) * multiple; }
// Parameters begin at multiples of 16 bytes of the dtype in which they are computed [_ADDRESS_ALIGNMENT, _get_aligned_numel].
constexpr std::int64_t kAddressAlignment = 16;

}  // namespace

FlatParameter::FlatParameter(Tape& tape, Comm& comm, std::vector<Parameter*> parameters, int layer) : tape_(tape), comm_(comm), layer_(layer) {
    lay_out(parameters);
    declare_storages();
    for (const Member& m : members_) {
        Parameter& p = *m.parameter;
        p.dtype = comm.compute_dtype;
        p.value.tensor = tape.program.tensor(p.name, whole_, p.dtype, p.columns == 1 ? 1 : p.rows, p.columns == 1 ? p.rows : p.columns,
                                             {m.offset * size_of(p.dtype), 0, {}});
        tape.program.at(p.value.tensor).parameter = p.index;
        p.value.dtype = p.dtype;
        p.value.rows = p.rows;
        p.value.columns = p.columns;
    }
    accumulate_ = tape.engine.leaf();
    accumulate_->tags.layer = static_cast<std::int16_t>(layer);
    accumulate_->apply = [this](torch::Node&, torch::Values& gradients) {
        if (gradient_.defined()) {
            tape_.program.copy(comm_.compute, gradients[0].tensor, gradient_.tensor, true);
            gradients.clear();
        } else {
            gradient_ = std::move(gradients[0]);
        }
        after_accumulate();
        return torch::Values{};
    };
}

/// [_init_flat_param_and_metadata]: with use_orig_params padding between parameters, and at the end to a multiple of the ranks.
void FlatParameter::lay_out(const std::vector<Parameter*>& parameters) {
    const std::int64_t aligned = comm_.original_parameters ? kAddressAlignment / size_of(comm_.compute_dtype) : 1;
    for (Parameter* p : parameters) {
        total_ = round_up(total_, aligned);
        members_.push_back({p, total_});
        total_ += p->elements();
    }
    if (comm_.original_parameters) total_ = round_up(total_, comm_.shard_ranks);
    shard_elements_ = ceil_div(total_, comm_.shard_ranks);
    schedule::FlatLayout layout;
    layout.name = tape_.program.intern("flat_parameter");
    layout.total = total_;
    layout.shard = shard_elements_;
    layout.padded = shard_elements_ * comm_.shard_ranks;
    for (const Member& m : members_) {
        schedule::FlatLayout::Segment segment = tape_.program.at(m.parameter->layout).segments.front();
        segment.offset = m.offset;
        layout.segments.push_back(segment);
    }
    layout_ = tape_.program.layout(std::move(layout));
}

/// Padding between parameters and at the end: its gradients are zeros [SplitWithSizesBackward of unused parts].
void FlatParameter::zero_padding(const Value& whole) {
    std::vector<TensorId> gaps;
    std::int64_t end = 0;
    const auto gap = [&](std::int64_t begin) {
        if (begin > end)
            gaps.push_back(tape_.program.tensor("padding", whole.buffer.storage(), whole.dtype, 1, begin - end, {end * size_of(whole.dtype), 0, {}}));
    };
    for (const Member& m : members_) {
        gap(m.offset);
        end = m.offset + m.parameter->elements();
    }
    gap(total_);
    if (!gaps.empty()) tape_.program.fill_all(comm_.compute, gaps, 0);
}

void FlatParameter::declare_storages() {
    auto& program = tape_.program;
    const std::int64_t width = size_of(comm_.shard_dtype), narrow = size_of(comm_.compute_dtype);
    shard_ = program.shard_storage("flat_parameter", shard_elements_ * width, total_ * width, comm_.offload ? comm_.host_pool : comm_.compute_pool,
                                   Role::parameter_shard, layer_);
    if (comm_.offload) program.at(shard_).space = schedule::Space::pinned;
    shard_tensor_ = tape_.view("flat_parameter", shard_, comm_.shard_dtype, shard_elements_, 1);
    // One rank (NO_SHARD) computes with the low-precision copy, or with the parameter itself.
    if (!sharded() && !casts() && !comm_.offload) {
        whole_ = shard_;
    } else {
        whole_ = program.storage("unsharded_flat_parameter", shard_elements_ * comm_.shard_ranks * narrow,
                                 sharded() ? comm_.unshard_pool : comm_.pre_unshard_pool, Role::gathered_parameter, layer_);
    }
    whole_tensor_ = tape_.view("unsharded_flat_parameter", whole_, comm_.compute_dtype, shard_elements_ * comm_.shard_ranks, 1);
}

Value FlatParameter::flat(const char* name, std::int64_t elements, DType dtype, PoolId pool, Role role) const {
    Value value;
    value.dtype = dtype;
    value.rows = elements;
    value.columns = 1;
    value.buffer = tape_.memory.allocate(name, elements * size_of(dtype), pool, role);
    value.tensor = tape_.view(name, value.buffer.storage(), dtype, elements, 1);
    return value;
}

void FlatParameter::shard() {
    auto& program = tape_.program;
    program.tags.layer = static_cast<std::int16_t>(layer_);
    {
        Value whole;
        {
            torch::Values materialized;   // to_empty of the module
            for (const Member& m : members_)
                materialized.push_back(flat("module_parameter", m.parameter->elements(), comm_.shard_dtype, comm_.compute_pool, Role::parameter));
            whole = flat("flatten_tensors", total_, comm_.shard_dtype, comm_.compute_pool, Role::staging);
        }
        program.alloc(shard_);   // _get_shard(...).clone()
    }
    program.fill(comm_.compute, shard_tensor_, 0);   // padding
    program.initialize(comm_.compute, shard_tensor_, {}, range());
    if (comm_.offload)
        host_gradient_ = tape_.memory.allocate("_cpu_grad", shard_elements_ * size_of(comm_.shard_dtype), comm_.host_pool, Role::gradient_shard,
                                               schedule::Space::pinned);
}

void FlatParameter::initialize_attributes() {
    const std::int64_t padded = shard_elements_ * comm_.shard_ranks;
    if (casts()) { const Value mp = flat("_mp_shard", shard_elements_, comm_.compute_dtype, comm_.compute_pool, Role::staging); }
    if (!sharded()) return;
    { const Value full = flat("_full_param_padded", padded, comm_.compute_dtype, comm_.compute_pool, Role::staging); }
    if (casts()) { const Value full = flat("_full_prec_full_param_padded", padded, comm_.shard_dtype, comm_.compute_pool, Role::staging); }
}

void FlatParameter::pre_unshard() {
    if (gathered_) return;
    auto& program = tape_.program;
    const bool own_copy = !sharded() && whole_ != shard_;   // NO_SHARD computes with the copy itself
    source_ = shard_tensor_;
    if (own_copy) {
        program.alloc(whole_);
        whole_buffer_ = tape_.memory.adopt(whole_);
        source_ = whole_tensor_;
    } else if (casts()) {
        low_precision_ = flat("_mp_shard", shard_elements_, comm_.compute_dtype, comm_.pre_unshard_pool, Role::staging);
        source_ = low_precision_.tensor;
    }
    if (comm_.offload && (casts() || !own_copy)) {
        uploaded_ = flat("uploaded_shard", shard_elements_, comm_.shard_dtype, comm_.pre_unshard_pool, Role::staging);
        program.copy(comm_.pre_unshard, shard_tensor_, uploaded_.tensor);
        if (casts()) {
            program.copy(comm_.pre_unshard, uploaded_.tensor, source_);
            uploaded_ = {};
        } else {
            source_ = uploaded_.tensor;
        }
    } else if (source_ != shard_tensor_) {
        program.copy(comm_.pre_unshard, shard_tensor_, source_);
    }
    program.wait_stream(comm_.unshard, comm_.pre_unshard);
}

void FlatParameter::unshard() {
    if (gathered_) return;
    gathered_ = true;
    auto& program = tape_.program;
    unsharded_ = program.last(comm_.pre_unshard);
    if (!sharded()) return;
    program.alloc(whole_);
    whole_buffer_ = tape_.memory.adopt(whole_);
    schedule::Collective c;
    c.kind = CollectiveKind::all_gather;
    c.axis = comm_.shard;
    c.send = source_;
    c.receive = whole_tensor_;
    program.wait_stream(comm_.nccl, comm_.unshard);
    unsharded_ = program.collective(comm_.nccl, "all_gather", c);
    program.wait_event(comm_.unshard, unsharded_);
    for (Value* shard : {&low_precision_, &uploaded_}) {   // [_free_low_precision_sharded_param]
        if (shard->defined()) tape_.memory.record_stream(shard->buffer.storage(), unsharded_);
        *shard = {};
    }
}

void FlatParameter::wait_for_unshard() { tape_.program.wait_event(comm_.compute, unsharded_); }

void FlatParameter::use_unsharded_views() {
    const auto split = tape_.engine.node({accumulate_});
    split->apply = [this](torch::Node&, torch::Values& parts) {
        // [SplitWithSizesBackward]: cat of the parts.
        Value whole = flat("flat_gradient", total_, comm_.compute_dtype, comm_.compute_pool, Role::gradient);
        std::vector<TensorId> pairs;
        for (std::size_t i = 0; i < members_.size(); ++i) {
            if (!parts.at(i).defined()) continue;
            const Parameter& p = *members_[i].parameter;
            pairs.push_back(parts[i].tensor);
            pairs.push_back(tape_.program.tensor(p.name, whole.buffer.storage(), comm_.compute_dtype, p.columns == 1 ? 1 : p.rows,
                                                 p.columns == 1 ? p.rows : p.columns, {members_[i].offset * size_of(comm_.compute_dtype), 0, {}}));
        }
        tape_.program.copy_all(comm_.compute, pairs);
        zero_padding(whole);
        parts.clear();
        return torch::Values{std::move(whole)};
    };
    for (std::size_t i = 0; i < members_.size(); ++i) {
        auto view = tape_.engine.node({split});
        view->slots = {static_cast<int>(i)};
        view->apply = [](torch::Node&, torch::Values& g) { return torch::Values{std::move(g[0])}; };
        members_[i].parameter->value.node = std::move(view);
    }
}

OpId FlatParameter::reshard() {
    const OpId event = tape_.program.last(comm_.compute);
    if (whole_buffer_.valid()) tape_.memory.record_stream(whole_, event);
    whole_buffer_.reset();
    gathered_ = false;
    return event;
}

/// In place on `stream` [Tensor.div_].
void FlatParameter::divide(StreamId stream, const Value& value, double divisor) {
    if (divisor == 1) return;
    kernel::Attributes a;
    a.tokens = 1;
    a.out = value.elements();
    a.in = 1;
    a.operation = kernel::EagerOperation::scale;
    a.value = static_cast<float>(1 / divisor);
    tape_.program.compute(stream, "gradient_divide", kernel::Kernel::elementwise, std::vector<TensorId>{value.tensor, {}, {}, value.tensor}, a);
}

void FlatParameter::collective(StreamId nccl, StreamId from, const char* name, schedule::Collective c) {
    const bool replicas = nccl == comm_.nccl_replicate;   // host ranks' room: from the stream that waits for the collective
    const Buffer room = tape_.reduction_scratch(c, replicas ? comm_.all_reduce_pool : comm_.post_backward_pool, replicas ? comm_.replicas : comm_.shard_ranks);
    tape_.program.wait_stream(nccl, from);
    tape_.program.wait_event(from, tape_.program.collective(nccl, name, c));
    tape_.program.mark(from, "waited");   // [Work.wait] on the stream, whether or not more is issued on it
}

/// [_post_backward_hook, _reduce_grad] in the post-backward stream: cast, pad, pre-divide, reduce-scatter, post-divide.
void FlatParameter::reduce_gradient() {
    auto& program = tape_.program;
    StreamId stream = comm_.post_backward;
    program.wait_stream(stream, comm_.compute);
    const Value computed = std::exchange(gradient_, {});
    Value whole = computed;
    const auto copy_to = [&](const char* name, std::int64_t elements, DType dtype) {
        Value next = flat(name, elements, dtype, comm_.post_backward_pool, Role::bucket);
        if (elements > whole.elements()) program.fill(stream, next.tensor, 0);   // F.pad
        program.copy(stream, whole.tensor, program.tensor(name, next.buffer.storage(), dtype, 1, whole.elements()));
        whole = std::move(next);
    };
    const std::int64_t padded = shard_elements_ * comm_.shard_ranks;
    if (comm_.reduce_dtype != comm_.compute_dtype) copy_to("reduce_input", total_, comm_.reduce_dtype);
    const Value unpadded = whole;
    if (padded != total_) copy_to("padded_reduce_input", padded, comm_.reduce_dtype);
    divide(stream, whole, comm_.predivide);
    Value reduced = whole;
    schedule::Collective c;
    c.reduction = Reduction::sum;
    if (sharded()) {
        reduced = flat("sharded_gradient", shard_elements_, comm_.reduce_dtype, comm_.post_backward_pool, Role::gradient_shard);
        c.kind = CollectiveKind::reduce_scatter;
        c.axis = comm_.shard;
        c.send = whole.tensor;
        c.receive = reduced.tensor;
        collective(comm_.nccl, stream, "reduce_scatter", c);
    }
    if (comm_.replicas > 1) {   // HYBRID_SHARD: what follows runs in the all-reduce stream
        program.wait_stream(comm_.all_reduce, stream);
        stream = comm_.all_reduce;
        program.mark(stream, "waited");
        c.kind = CollectiveKind::all_reduce;
        c.axis = comm_.replicate;
        c.send = c.receive = reduced.tensor;
        collective(comm_.nccl_replicate, stream, "all_reduce", c);
    }
    divide(stream, reduced, comm_.postdivide);
    keep_shard(reduced, stream);
    if (comm_.replicas > 1) tape_.memory.record_stream(reduced.buffer.storage(), program.last(stream));
    tape_.memory.record_stream(computed.buffer.storage(), program.last(comm_.post_backward));
}

/// [_accumulate_sharded_grad, _offload_grad]
void FlatParameter::keep_shard(Value reduced, StreamId stream) {
    auto& program = tape_.program;
    if (comm_.reduce_dtype != comm_.shard_dtype) {
        Value cast = flat("sharded_gradient", shard_elements_, comm_.shard_dtype,
                          stream == comm_.all_reduce ? comm_.all_reduce_pool : comm_.post_backward_pool, Role::gradient_shard);
        program.copy(stream, reduced.tensor, cast.tensor);
        reduced = std::move(cast);
    }
    if (sharded_gradient_.defined()) {
        program.copy(stream, reduced.tensor, sharded_gradient_.tensor, true);
    } else {
        sharded_gradient_ = std::move(reduced);
    }
    if (!comm_.offload) return;
    program.copy(stream, sharded_gradient_.tensor, host_gradient());
    sharded_gradient_ = {};   // the optimizer reads the host's copy
}

TensorId FlatParameter::host_gradient() {
    return tape_.view("_cpu_grad", host_gradient_.storage(), comm_.shard_dtype, shard_elements_, 1);
}

void FlatParameter::drop_gradient() {
    if (!sharded_gradient_.defined()) return;
    tape_.memory.used_elsewhere(sharded_gradient_.buffer.storage(), tape_.program.last(comm_.compute));
    sharded_gradient_ = {};
}

/// The views of the shard are the same in every step: the optimizer knows its states by them.
void FlatParameter::make_parts() {
    if (!comm_.states_of_rank_0) {
        parts_.push_back({"flat_parameter", layer_, shard_elements_, comm_.shard_dtype, shard_tensor_, {}, range()});
        return;
    }
    for (const Member& m : members_) {
        const std::int64_t part = std::min(m.offset + m.parameter->elements(), shard_elements_) - m.offset;
        if (part <= 0) break;
        const TensorId view = tape_.program.tensor(m.parameter->name, shard_, comm_.shard_dtype, 1, part, {m.offset * size_of(comm_.shard_dtype), 0, {}});
        parts_.push_back({m.parameter->name, layer_, part, comm_.shard_dtype, view});
    }
}

std::vector<torch::Updated> FlatParameter::updated() {
    if (parts_.empty()) make_parts();
    std::vector<torch::Updated> all = parts_;
    if (!sharded_gradient_.defined() && !comm_.offload) return all;
    const StorageId storage = comm_.offload ? host_gradient_.storage() : sharded_gradient_.buffer.storage();
    for (torch::Updated& part : all)
        part.gradient = tape_.program.tensor("sharded_gradient", storage, comm_.shard_dtype, 1, part.elements, tape_.program.at(part.parameter).offset);
    return all;
}

}  // namespace zerosim::strategy::fsdp
