#include "strategy/deepspeed/sharded_gradients.hpp"

#include <algorithm>
#include <numeric>

namespace zerosim::strategy::deepspeed {

void ShardedGradients::initialize(const std::vector<ShardedParameter*>& order) {
    Engine& e = engine_;
    if (e.options.contiguous_gradients) bucket_ = e.make(e.streams.compute, "ipg_bucket", e.options.reduce_bucket, e.compute_dtype, Role::bucket);
    std::int64_t elements = 0;
    for (const ShardedParameter* p : order) elements += p->shard;
    flat_ = e.offloads_optimizer() ? e.make_on_host("gradient_shards", elements, e.compute_dtype, Role::gradient_shard, e.options.pin_memory)
                                   : e.make(e.streams.compute, "gradient_shards", elements, e.compute_dtype, Role::gradient_shard);
    e.program.fill(e.streams.compute, flat_.tensor, 0);
    std::int64_t at = 0;
    for (const ShardedParameter* p : order) {
        shards_[p] = e.part(p->parameter->name, flat_.tensor, at, p->shard);
        at += p->shard;
    }
}

void ShardedGradients::begin_micro_batch(int index, bool last) {
    micro_batch_ = index;
    boundary_ = last;
    if (index == 0) events_.clear(); // the step before has ended
}

void ShardedGradients::add(Parameter& parameter) {
    Engine& e = engine_;
    const std::int64_t n = parameter.elements();
    if (elements_ + n > e.options.reduce_bucket && elements_ > 0) reduce();
    e.program.wait_stream(e.streams.reduce, e.streams.compute);
    const bool fits = e.options.contiguous_gradients && elements_ + n <= e.options.reduce_bucket;
    if (fits) {
        const TensorId view = e.shaped(parameter, bucket_.tensor, elements_);
        const OpId copied = e.program.copy(e.streams.reduce, parameter.gradient.tensor, view);
        if (e.streams.reduce != e.streams.compute && parameter.gradient.buffer.valid())
            e.tape.memory.record_stream(parameter.gradient.buffer.storage(), copied);
        parameter.gradient.tensor = view; // grad.data = bucket: autograd's tensor goes
        parameter.gradient.buffer.reset();
    }
    pending_.push_back(&parameters_.of(&parameter));
    elements_ += n;
}

void ShardedGradients::finish() {
    reduce();
    Engine& e = engine_;
    e.program.host_wait(e.streams.compute, std::vector{e.program.last(e.streams.reduce)}); // reduce_and_partition_stream.synchronize()
}

/// Three reductions may be under way; the host waits for the oldest before it queues a fourth [max_param_reduce_events = 2].
void ShardedGradients::reduce() {
    constexpr std::size_t kMostEvents = 2;
    if (pending_.empty()) return;
    if (events_.size() > kMostEvents) {
        engine_.program.host_wait(engine_.streams.compute, std::vector{events_.front()});
        events_.pop_front();
    }
    const bool whole = engine_.options.contiguous_gradients && elements_ <= engine_.options.reduce_bucket;
    whole && !engine_.options.reduce_scatter ? all_reduce() : reduce_scatter();
    pending_.clear();
    elements_ = 0;
    events_.push_back(engine_.program.last(engine_.streams.reduce));
}

/// [__avg_scatter_contiguous_grads]
void ShardedGradients::all_reduce() {
    Engine& e = engine_;
    const TensorId bucket = e.part("bucket", bucket_.tensor, 0, elements_);
    e.divide_by_ranks(e.streams.reduce, bucket);
    e.collective(CollectiveKind::all_reduce, "all_reduce", e.streams.reduce, bucket, bucket);
    for (ShardedParameter* p : pending_) {
        // A rank's piece of a padded gradient; beyond the last element there is padding of its own.
        Value room;
        schedule::Tensor piece = e.program.at(p->parameter->gradient.tensor);
        TensorId source;
        if (p->shard * e.ranks == p->elements) {
            piece.rows = 1;
            piece.columns = piece.row_stride = p->shard;
            piece.offset.slope = e.ranks > 1 ? p->shard * size_of(piece.dtype) : 0;
            piece.offset.axis = e.data;
            source = e.program.tensor(piece);
        } else {
            room = e.make(e.streams.reduce, "padded_gradient", p->shard * e.ranks, e.compute_dtype, Role::staging);
            e.program.fill(e.streams.reduce, room.tensor, 0);
            e.program.copy(e.streams.reduce, e.part("gradient", p->parameter->gradient.tensor, 0, p->elements),
                           e.part("gradient", room.tensor, 0, p->elements));
            piece = e.program.at(room.tensor);
            piece.columns = piece.row_stride = p->shard;
            piece.offset = {0, p->shard * size_of(piece.dtype), e.data};
            source = e.program.tensor(piece);
        }
        keep(*p, source);
        drop(*p->parameter);
    }
}

/// Rank-major copy of padded gradients; one that needs no padding is reduced in place.
TensorId ShardedGradients::interleave(Value& room, std::int64_t& elements) {
    Engine& e = engine_;
    elements = std::accumulate(pending_.begin(), pending_.end(), std::int64_t{0},
                               [](std::int64_t sum, const ShardedParameter* p) { return sum + p->shard; });
    if (pending_.size() == 1 && pending_.front()->shard * e.ranks == pending_.front()->elements)
        return e.part("gradient", pending_.front()->parameter->gradient.tensor, 0, pending_.front()->elements);
    room = e.make(e.streams.reduce, "reduce_buffer", elements * e.ranks, e.compute_dtype, Role::staging);
    if (std::ranges::any_of(pending_, [&](const ShardedParameter* p) { return p->shard * e.ranks != p->elements; }))
        e.program.fill(e.streams.reduce, room.tensor, 0);
    std::vector<TensorId> pairs;
    std::int64_t at = 0;
    const auto rows = [&](TensorId tensor, std::int64_t begin, std::int64_t count, std::int64_t columns, std::int64_t stride) {
        schedule::Tensor view = e.program.at(tensor);
        view.offset.constant += begin * size_of(view.dtype);
        view.rows = count;
        view.columns = columns;
        view.row_stride = stride;
        return e.program.tensor(view);
    };
    for (const ShardedParameter* p : pending_) {
        const TensorId gradient = p->parameter->gradient.tensor;
        const std::int64_t whole = p->elements / p->shard, rest = p->elements - whole * p->shard;
        pairs.insert(pairs.end(), {rows(gradient, 0, whole, p->shard, p->shard), rows(room.tensor, at, whole, p->shard, elements)});
        if (rest > 0)
            pairs.insert(pairs.end(), {rows(gradient, whole * p->shard, 1, rest, rest), rows(room.tensor, at + whole * elements, 1, rest, rest)});
        at += p->shard;
    }
    e.program.copy_all(e.streams.reduce, pairs);
    return room.tensor;
}

/// [reduce_scatter_coalesced]
void ShardedGradients::reduce_scatter() {
    Engine& e = engine_;
    std::ranges::sort(pending_, {}, [](const ShardedParameter* p) { return p->id; });
    Value room;
    std::int64_t elements = 0;
    const TensorId whole = interleave(room, elements);
    e.divide_by_ranks(e.streams.reduce, whole);
    schedule::Tensor slice = e.program.at(whole);
    slice.columns = slice.row_stride = elements;
    slice.offset.slope = e.ranks > 1 ? elements * size_of(slice.dtype) : 0;
    slice.offset.axis = e.data;
    const TensorId own = e.program.tensor(slice);
    e.collective(CollectiveKind::reduce_scatter, "reduce_scatter", e.streams.reduce, whole, own);
    std::int64_t at = 0;
    for (ShardedParameter* p : pending_) {
        keep(*p, e.slice(own, at, p->shard));
        drop(*p->parameter);
        at += p->shard;
    }
}

/// [partition_grads]: copied by the first micro-batch, added by later ones.
void ShardedGradients::keep(ShardedParameter& p, TensorId reduced) {
    if (engine_.offloads_optimizer()) return offload(p, reduced);
    engine_.program.copy(engine_.streams.reduce, reduced, shards_.at(&p), micro_batch_ > 0);
}

/// To the host in the compute dtype, and back for what follows (also in the first micro-batch); at the boundary the fp32 gradient.
void ShardedGradients::offload(ShardedParameter& p, TensorId reduced) {
    Engine& e = engine_;
    const TensorId kept = shards_.at(&p);
    const Value back = e.make(e.streams.reduce, "gradient_shard", p.shard, e.compute_dtype, Role::staging);
    if (micro_batch_ == 0) {
        e.copy_over_link(e.streams.reduce, reduced, kept);
        e.copy_over_link(e.streams.reduce, kept, back.tensor);
    } else {
        e.copy_over_link(e.streams.reduce, kept, back.tensor);
        e.program.copy(e.streams.reduce, reduced, back.tensor, true);
        e.copy_over_link(e.streams.reduce, back.tensor, kept);
    }
    if (!boundary_) return;
    e.keep_norm(e.streams.reduce, back.tensor, e.shard_range(p.layout, p.shard), static_cast<std::int64_t>(shards_.size()));
    const TensorId target = offloaded_.at(&p);
    const bool in_file = e.space_of(target) == schedule::Space::nvme;
    if (e.options.release < 16 && !in_file && e.compute_dtype != DType::fp32) return widen_on_host(back.tensor, target);
    const Value wide = e.make(e.streams.reduce, "gradient_fp32", p.shard, DType::fp32, Role::staging);
    e.program.copy(e.streams.reduce, back.tensor, wide.tensor);
    const TensorId host = in_file ? e.part("swapped_gradient", swap_buffer_, 0, p.shard) : target;
    e.copy_over_link(e.streams.reduce, wide.tensor, host, !in_file && e.options.release < 19);
    if (in_file) e.program.copy(e.streams.reduce, host, target); // [swap_out_gradients]
}

/// fp32_grad.copy_(grad) without a cast before it: a blocking copy between devices converts on the CPU, from a new pageable tensor of the
/// source's dtype (aten/src/ATen/native/cuda/Copy.cu, copy_kernel_cuda).
void ShardedGradients::widen_on_host(TensorId gradient, TensorId target) {
    Engine& e = engine_;
    const Value narrow = e.make_on_host("gradient_on_host", e.program.at(gradient).elements(), e.compute_dtype, Role::staging, false);
    e.copy_over_link(e.streams.reduce, gradient, narrow.tensor);
    e.program.wait_stream(e.streams.host, e.streams.reduce);
    e.program.host_wait(e.streams.compute, std::vector{e.program.copy(e.streams.host, narrow.tensor, target)});
    e.program.wait_stream(e.streams.compute, e.streams.host);
}

void ShardedGradients::drop(Parameter& parameter) {
    Engine& e = engine_;
    if (e.streams.reduce != e.streams.compute && parameter.gradient.buffer.valid())
        e.tape.memory.record_stream(parameter.gradient.buffer.storage(), e.program.last(e.streams.reduce));
    parameter.gradient = {};
}

} // namespace zerosim::strategy::deepspeed
