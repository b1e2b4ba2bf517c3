#include "strategy/deepspeed/gradient_buckets.hpp"

#include <algorithm>
#include <utility>

namespace zerosim::strategy::deepspeed {

GradientBuckets::GradientBuckets(Engine& engine, FlatGroups& groups, bool stage1) : engine_(engine), groups_(groups), stage1_(stage1) {
    for (FlatGroup& group : groups.all()) {
        for (std::size_t i = 0; i < group.parameters.size(); ++i) {
            places_[group.parameters[i]] = {&group, i, false, {}, 0};
            largest_ = std::max(largest_, group.parameters[i]->elements());
        }
        for (const FlatGroup::Piece& piece : group.pieces) {
            Place& place = places_.at(piece.parameter);
            place.owned = true;
            place.piece = piece;
            place.in_partition = group.offsets[place.index] + piece.begin - engine.rank * group.shard;
            partition_elements_ += piece.parameter->elements();
            ++owned_;
        }
    }
    if (!engine.offloads_optimizer()) return;
    // [temp_grad_buffer_for_{cpu,gpu}_offload]
    host_room_ = engine.make_on_host("gradient_room", largest_, engine.compute_dtype, Role::staging, engine.options.pin_memory);
    device_room_ = engine.make(engine.streams.compute, "gradient_room", largest_, engine.compute_dtype, Role::staging);
    engine.program.fill(engine.streams.compute, device_room_.tensor, 0);
}

void GradientBuckets::prepare() {
    if (buffers_[0].defined() || !engine_.options.contiguous_gradients) return;
    for (std::size_t i = 0; i < (engine_.overlap ? 2U : 1U); ++i)
        buffers_[i] = engine_.make(engine_.streams.compute, "ipg_bucket", engine_.options.reduce_bucket, engine_.compute_dtype, Role::bucket);
    index_ = 0;
}

void GradientBuckets::add(Parameter& p) {
    const std::int64_t n = p.elements(), limit = engine_.options.reduce_bucket;
    if (elements_ + n > limit) {
        reduce();
        if (engine_.options.contiguous_gradients && engine_.overlap) index_ = 1 - index_;
    }
    if (!engine_.options.contiguous_gradients) {
        // The gradients stay where they are until the bucket is flattened.
    } else if (n > limit) {
        extra_large_ = &p;
    } else {
        const TensorId view = engine_.shaped(p, buffers_[index_].tensor, elements_);
        engine_.program.copy(engine_.streams.compute, p.gradient.tensor, view);
        p.gradient.tensor = view; // grad.data = bucket: autograd's tensor goes
        p.gradient.buffer.reset();
    }
    elements_ += n;
    pending_.push_back(&p);
}

void GradientBuckets::finish() { reduce(); }

void GradientBuckets::release() {
    for (Value& buffer : buffers_) buffer = {};
    partition_ = {};
    partition_used_ = 0;
}

void GradientBuckets::reduce() {
    if (pending_.empty()) return;
    Engine& e = engine_;
    if (e.overlap) { // [average_tensor]: and computation goes on only when the bucket before this one is reduced
        const OpId before = e.program.last(e.streams.reduce);
        e.program.wait_stream(e.streams.reduce, e.streams.compute);
        e.program.wait_event(e.streams.compute, before);
    }
    if (extra_large_ != nullptr) {
        average(e.part("large_gradient", extra_large_->gradient.tensor, 0, extra_large_->elements()));
    } else if (e.options.contiguous_gradients) {
        average(e.part("bucket", buffers_[index_].tensor, 0, elements_));
    } else { // [buffered_reduce_fallback]: flattened, reduced, copied back
        const Value flat = e.make(stream(), "flat_bucket", elements_, e.compute_dtype, Role::staging);
        std::vector<TensorId> there, back;
        std::int64_t at = 0;
        for (const Parameter* p : pending_) {
            const TensorId place = e.part("flat_gradient", flat.tensor, std::exchange(at, at + p->elements()), p->elements());
            there.insert(there.end(), {p->gradient.tensor, place});
            back.insert(back.end(), {place, p->gradient.tensor});
        }
        e.program.copy_all(stream(), there);
        e.divide_by_ranks(stream(), flat.tensor);
        e.collective(CollectiveKind::all_reduce, "all_reduce", stream(), flat.tensor, flat.tensor);
        e.program.copy_all(stream(), back);
    }
    for (Parameter* p : pending_) keep(*p);
    pending_.clear();
    extra_large_ = nullptr;
    elements_ = 0;
}

/// Slices of the bucket by owner; neighbours of one owner are merged.
std::vector<GradientBuckets::Slice> GradientBuckets::slices() const {
    std::vector<Slice> all;
    std::int64_t at = 0;
    for (const Parameter* p : pending_) {
        const Place& place = places_.at(p);
        const FlatGroup& group = *place.group;
        const std::int64_t begin = group.offsets[place.index], end = begin + p->elements();
        for (std::int64_t from = begin; from < end;) {
            const std::int64_t owner = FlatGroups::owner(group, from), to = std::min(end, (owner + 1) * group.shard);
            if (!all.empty() && all.back().owner == owner) {
                all.back().count += to - from;
            } else {
                all.push_back({owner, at, to - from});
            }
            at += to - from;
            from = to;
        }
    }
    return all;
}

void GradientBuckets::average(TensorId bucket) {
    engine_.divide_by_ranks(stream(), bucket);
    if (!engine_.options.reduce_scatter) {
        engine_.collective(CollectiveKind::all_reduce, "all_reduce", stream(), bucket, bucket);
        return;
    }
    const std::vector<Slice> by_owner = slices();
    if (!engine_.options.multi_rank_allreduce) return reduce_to_owners(bucket, by_owner);
    // [allreduce_and_scatter]: together until there are more than reduce_bucket_size elements.
    std::vector<Slice> together;
    std::int64_t elements = 0;
    for (const Slice& slice : by_owner) {
        together.push_back(slice);
        elements += slice.count;
        if (elements <= engine_.options.reduce_bucket) continue;
        all_reduce(bucket, std::exchange(together, {}));
        elements = 0;
    }
    if (!together.empty()) all_reduce(bucket, together);
}

/// [allreduce_and_copy_with_multiple_ranks]: two slices and more are flattened into a copy; every rank receives all of it and copies its own back.
void GradientBuckets::all_reduce(TensorId bucket, const std::vector<Slice>& slices) {
    Engine& e = engine_;
    const std::int64_t begin = slices.front().begin, count = slices.back().begin + slices.back().count - begin;
    const TensorId chunk = e.part("bucket_slices", bucket, begin, count);
    if (slices.size() == 1) {
        e.collective(CollectiveKind::all_reduce, "all_reduce", stream(), chunk, chunk);
        return;
    }
    const Value flat = e.make(stream(), "flat_slices", count, e.compute_dtype, Role::staging);
    e.program.copy(stream(), chunk, flat.tensor);
    e.collective(CollectiveKind::all_reduce, "all_reduce", stream(), flat.tensor, flat.tensor);
    for (const Slice& slice : slices)
        if (slice.owner == e.rank)
            e.program.copy(stream(), e.part("own_slice", flat.tensor, slice.begin - begin, slice.count),
                           e.part("own_slice", bucket, slice.begin, slice.count));
}

/// One reduction for each owner, which alone receives the sum [dist.reduce]. A ring's root sends nothing and every other rank its
/// slices once; so does a reduce-scatter on average over the owners, and it stands for them.
void GradientBuckets::reduce_to_owners(TensorId bucket, const std::vector<Slice>& slices) {
    Engine& e = engine_;
    const std::int64_t begin = slices.front().begin, count = slices.back().begin + slices.back().count - begin, piece = ceil_div(count, e.ranks);
    const Value room = e.make(stream(), "reduce_slices", piece * e.ranks, e.compute_dtype, Role::staging);
    e.program.copy(stream(), e.part("bucket_slices", bucket, begin, count), e.part("reduce_slices", room.tensor, 0, count));
    schedule::Tensor own = e.program.at(room.tensor);
    own.columns = own.row_stride = piece;
    own.offset = {0, e.ranks > 1 ? piece * size_of(e.compute_dtype) : 0, e.data};
    e.collective(CollectiveKind::reduce_scatter, "reduce_to_owners", stream(), room.tensor, e.program.tensor(own));
}

/// Gradients of this rank's partition are copied out of the bucket, whole parameters at a time; stage 2 drops the others.
void GradientBuckets::keep(Parameter& p) {
    Engine& e = engine_;
    const Place& place = places_.at(&p);
    if (e.overlap && p.gradient.buffer.valid()) e.tape.memory.record_stream(p.gradient.buffer.storage(), e.program.last(stream())); // not in a bucket
    if (!place.owned) {
        if (!stage1_) p.gradient = {};
        return;
    }
    if (e.offloads_optimizer()) return offload(p, place);
    if (!e.options.contiguous_gradients) return;
    if (!partition_.defined()) partition_ = e.make(stream(), "grads_in_partition", partition_elements_, e.compute_dtype, Role::gradient_shard);
    const TensorId view = e.shaped(p, partition_.tensor, partition_used_);
    e.program.copy(stream(), p.gradient.tensor, view);
    partition_used_ += p.elements();
    p.gradient.tensor = view;
    p.gradient.buffer = partition_.buffer;
}

/// [copy_grads_in_partition] with cpu_offload: several micro-batches accumulate on the host by way of the device; at the boundary this
/// rank's piece goes into the fp32 gradient.
void GradientBuckets::offload(Parameter& p, const Place& place) {
    Engine& e = engine_;
    const TensorId gradient = e.part("gradient", p.gradient.tensor, 0, p.elements());
    if (e.scenario.training.gradient_accumulation > 1) {
        Value& kept = accumulated_[&p];
        if (!kept.defined()) {
            kept = e.make_on_host("accumulated_gradient", p.elements(), e.compute_dtype, Role::gradient, e.options.pin_memory);
            e.program.fill(e.streams.compute, kept.tensor, 0);
        }
        if (micro_batch_ > 0) {
            const TensorId room = e.part("gradient_room", device_room_.tensor, 0, p.elements());
            e.copy_over_link(stream(), kept.tensor, room);
            e.program.copy(stream(), room, gradient, true);
        }
        if (!stage1_) e.copy_over_link(stream(), gradient, kept.tensor); // stage 1 accumulates in the gradients themselves
    }
    if (boundary_) {
        const TensorId piece = e.part("own_gradient", gradient, place.piece.begin, place.piece.count);
        const TensorId target = e.part("gradient", place.group->gradient.tensor, place.in_partition, place.piece.count);
        const std::int64_t shard = place.group->shard;
        e.keep_norm(stream(), piece, {place.group->layout, {place.in_partition, e.ranks > 1 ? shard : 0, e.data}, place.piece.count}, owned_);
        e.overflow_room(stream(), gradient);
        Value wide;
        TensorId source = piece;
        if (e.compute_dtype != DType::fp32) {
            wide = e.make(stream(), "gradient_fp32", place.piece.count, DType::fp32, Role::staging);
            e.program.copy(stream(), piece, wide.tensor);
            source = wide.tensor;
        }
        e.copy_over_link(stream(), source, target);
    }
    p.gradient = {};
}

} // namespace zerosim::strategy::deepspeed
