#include "strategy/megatron/buffers.hpp"

#include <algorithm>
#include <numeric>

namespace zerosim::strategy::megatron {

using schedule::Role;

namespace {

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }
// Elements: parameters begin at 128 bytes of 2-byte elements, buckets end at 256 bytes [_pad_start_of_param_if_needed, _pad_end_of_bucket].
constexpr std::int64_t kParameterAlignment = 64, kBucketAlignment = 128;

}  // namespace

Buffers::Buffers(Tape& tape, const Layout& layout, const std::vector<Parameter*>& module_order) : tape_(tape), layout_(layout), module_order_(module_order) {
    lay_out(module_order);
    auto& program = tape.program;
    if (layout_.distributed_optimizer)
        parameter_storage_ = program.storage("param_data", elements() * size_of(layout_.parameter_dtype), layout_.pool, Role::parameter);
    gradient_storage_ = program.storage("grad_data", elements() * size_of(layout_.gradient_dtype), layout_.pool, Role::gradient);
    for (Parameter* p : module_order) declare(*p, places_.at(p));
    for (Bucket& bucket : buckets_) declare(bucket);
}

/// In reversed module order, about backward's. With pipeline stages a tied embedding would have a bucket of its own; here it has none.
void Buffers::lay_out(const std::vector<Parameter*>& module_order) {
    std::int64_t offset = 0;
    std::vector<Parameter*> open;
    std::int64_t begin = 0;
    const auto close = [&] {
        const std::int64_t multiple = std::lcm(layout_.shard_ranks, kBucketAlignment);
        const std::int64_t end = layout_.distributed_optimizer ? round_up(offset, multiple) : offset;
        Bucket bucket;
        bucket.begin = std::exchange(begin, end);
        bucket.end = offset = end;
        bucket.parameters = std::exchange(open, {});
        buckets_.push_back(std::move(bucket));
    };
    for (auto it = module_order.rbegin(); it != module_order.rend(); ++it) {
        if (layout_.distributed_optimizer) offset = round_up(offset, kParameterAlignment);
        Place& place = places_[*it];
        place.offset = offset;
        place.bucket = buckets_.size();
        offset += (*it)->elements();
        open.push_back(*it);
        if (layout_.bucket_elements > 0 && offset - begin >= layout_.bucket_elements) close();
    }
    if (!open.empty()) close();
}

void Buffers::declare(Parameter& p, Place& place) {
    auto& program = tape_.program;
    const std::int64_t rows = p.columns == 1 ? 1 : p.rows, columns = p.columns == 1 ? p.rows : p.columns;
    if (!layout_.distributed_optimizer) {
        const StorageId own = program.storage(p.name, p.elements() * size_of(layout_.parameter_dtype), layout_.pool, Role::parameter, p.layer);
        p.value.tensor = program.tensor(p.name, own, layout_.parameter_dtype, rows, columns);
    } else {
        p.value.tensor = program.tensor(p.name, parameter_storage_, layout_.parameter_dtype, rows, columns,
                                        {place.offset * size_of(layout_.parameter_dtype), 0, {}});
    }
    program.at(p.value.tensor).parameter = p.index;
    p.value.dtype = layout_.parameter_dtype;
    p.value.rows = p.rows;
    p.value.columns = p.columns;
    Value& gradient = place.main_gradient;
    gradient.dtype = layout_.gradient_dtype;
    gradient.rows = p.rows;
    gradient.columns = p.columns;
    gradient.tensor = program.tensor("main_grad", gradient_storage_, layout_.gradient_dtype, rows, columns,
                                     {place.offset * size_of(layout_.gradient_dtype), 0, {}});
    tape_.require_gradient(p);
    p.after_accumulate = [this, &p] { gradient_ready(p); };
}

/// This rank's slice of a bucket.
TensorId Buffers::slice(const Bucket& bucket, StorageId storage, DType dtype) const {
    const std::int64_t width = size_of(dtype), shard = (bucket.end - bucket.begin) / layout_.shard_ranks;
    return tape_.program.tensor("bucket_shard", storage, dtype, 1, shard, {bucket.begin * width, shard * width, layout_.shard});
}

void Buffers::declare(Bucket& bucket) {
    const auto whole = [&](StorageId storage, DType dtype) {
        return tape_.program.tensor("bucket", storage, dtype, 1, bucket.end - bucket.begin, {bucket.begin * size_of(dtype), 0, {}});
    };
    bucket.gradient_data = whole(gradient_storage_, layout_.gradient_dtype);
    if (!layout_.distributed_optimizer) return;
    bucket.gradient_shard = slice(bucket, gradient_storage_, layout_.gradient_dtype);
    bucket.parameter_data = whole(parameter_storage_, layout_.parameter_dtype);
    bucket.parameter_shard = slice(bucket, parameter_storage_, layout_.parameter_dtype);
}

void Buffers::allocate() {
    auto& program = tape_.program;
    std::vector<std::pair<Buffer, TensorId>> made;
    for (const Parameter* p : module_order_) {
        program.tags.layer = static_cast<std::int16_t>(p->layer);
        if (layout_.distributed_optimizer) {
            Buffer own = tape_.memory.allocate("module_parameter", p->elements() * size_of(layout_.parameter_dtype), layout_.pool, Role::parameter);
            const TensorId tensor = tape_.view(p->name, own.storage(), layout_.parameter_dtype, p->rows, p->columns);
            made.emplace_back(std::move(own), tensor);
            initialize(*p, tensor);
        } else {
            program.alloc(program.at(p->value.tensor).storage);
            initialize(*p, p->value.tensor);
        }
    }
    program.tags.layer = -1;
    if (layout_.distributed_optimizer) {
        program.alloc(parameter_storage_);
        program.fill(layout_.compute, program.tensor("param_data", parameter_storage_, layout_.parameter_dtype, 1, elements()), 0);
    }
    program.alloc(gradient_storage_);
    zero_gradients();
    // Each parameter is copied into the buffer, in the buffer's order, and its own memory freed.
    for (auto it = module_order_.rbegin(); !made.empty(); ++it) {
        program.copy(layout_.compute, made.back().second, (*it)->value.tensor);
        made.pop_back();
    }
}

/// Initial values come from the framework; parameters that the model does not list are zeros.
void Buffers::initialize(const Parameter& p, TensorId tensor) {
    if (p.layout.valid()) {
        tape_.program.initialize(layout_.compute, tensor, {}, {p.layout, {}, p.elements()});
    } else {
        tape_.program.fill(layout_.compute, tensor, 0);
    }
}

void Buffers::zero_gradients() {
    tape_.program.fill(layout_.compute, tape_.program.tensor("grad_data", gradient_storage_, layout_.gradient_dtype, 1, elements()), 0);
}

Value Buffers::placeholder(const Parameter& p) {
    Value& kept = placeholders_[{p.rows, p.columns}];
    if (!kept.defined()) kept = tape_.make("dummy_weight_gradient", p.rows, p.columns, layout_.parameter_dtype, Role::gradient);
    return kept;
}

void Buffers::begin_micro_batch(bool last) {
    last_ = last;
    for (Bucket& bucket : buckets_) bucket.ready = 0;
}

/// The hook of DistributedDataParallel: gradients that no product has added, are added and dropped.
void Buffers::gradient_ready(Parameter& p) {
    Place& place = places_.at(&p);
    if (!std::exchange(place.added, false))
        tape_.program.copy(layout_.compute, p.gradient.tensor, place.main_gradient.tensor, true);
    p.gradient = {};
    Bucket& bucket = buckets_[place.bucket];
    if (++bucket.ready == bucket.parameters.size() && last_ && layout_.overlap) reduce(bucket);
}

OpId Buffers::collective(StreamId stream, PoolId pool, const char* name, schedule::Collective c, std::int64_t ranks) {
    const Buffer room = tape_.reduction_scratch(c, pool, ranks);
    return tape_.program.collective(stream, name, c);
}

/// [start_grad_sync] Gradients are divided by the ranks, then summed in place.
void Buffers::reduce(Bucket& bucket) {
    auto& program = tape_.program;
    const std::int64_t ranks = layout_.shard_ranks * layout_.replicas;
    if (ranks > 1) {
        kernel::Attributes a;
        a.tokens = 1;
        a.out = bucket.end - bucket.begin;
        a.in = 1;
        a.operation = kernel::EagerOperation::scale;
        a.value = 1 / static_cast<float>(ranks);
        const TensorId data = bucket.gradient_data;
        program.compute(layout_.compute, "gradient_scaling", kernel::Kernel::elementwise, std::vector<TensorId>{data, {}, {}, data}, a);
    }
    schedule::Collective c;
    c.reduction = Reduction::sum;
    c.axis = layout_.shard;
    c.kind = layout_.distributed_optimizer ? CollectiveKind::reduce_scatter : CollectiveKind::all_reduce;
    c.send = bucket.gradient_data;
    c.receive = layout_.distributed_optimizer ? bucket.gradient_shard : bucket.gradient_data;
    program.wait_stream(layout_.communication, layout_.compute);
    bucket.reduced = collective(layout_.communication, layout_.communication_pool, "reduce_gradients", c, layout_.shard_ranks);
    if (layout_.replicas > 1) {   // across the instances of the distributed optimizer
        c.kind = CollectiveKind::all_reduce;
        c.axis = layout_.replicate;
        c.send = c.receive = layout_.distributed_optimizer ? bucket.gradient_shard : bucket.gradient_data;
        program.wait_event(layout_.replicate_communication, bucket.reduced);
        bucket.reduced = collective(layout_.replicate_communication, layout_.replicate_pool, "reduce_gradients_between_instances", c, layout_.replicas);
    }
    if (!layout_.overlap) program.wait_event(layout_.compute, bucket.reduced);
}

void Buffers::finish_reduction() {
    for (Bucket& bucket : buckets_) {
        if (!layout_.overlap) reduce(bucket);
        tape_.program.wait_event(layout_.compute, bucket.reduced);
    }
}

void Buffers::gather(Bucket& bucket) {
    auto& program = tape_.program;
    bucket.gather_dispatched = true;
    schedule::Collective c;
    c.kind = CollectiveKind::all_gather;
    c.axis = layout_.shard;
    c.send = bucket.parameter_shard;
    c.receive = bucket.parameter_data;
    program.wait_stream(layout_.communication, layout_.compute);
    bucket.gathered = program.collective(layout_.communication, "gather_parameters", c);
}

void Buffers::gather_parameters() {
    if (!layout_.distributed_optimizer || layout_.overlap) return;
    for (Bucket& bucket : buckets_) {
        gather(bucket);
        tape_.program.wait_event(layout_.compute, bucket.gathered);
    }
}

void Buffers::expect_gathers() {
    if (!layout_.distributed_optimizer || !layout_.overlap) return;
    for (Bucket& bucket : buckets_) bucket.gather_dispatched = false;
}

/// [finish_param_sync] Buckets are in backward's order: the next one of forward is the one before.
void Buffers::before_use(const Parameter& p) {
    if (!layout_.distributed_optimizer || !layout_.overlap) return;
    const std::size_t index = places_.at(&p).bucket;
    Bucket& bucket = buckets_[index];
    if (!bucket.gather_dispatched) gather(bucket);
    if (!bucket.gathered.valid()) return;   // waited for
    tape_.program.wait_event(layout_.compute, std::exchange(bucket.gathered, OpId{}));
    if (index > 0 && !buckets_[index - 1].gather_dispatched) gather(buckets_[index - 1]);
}

std::vector<OwnedPart> Buffers::owned() const {
    std::vector<OwnedPart> parts;
    auto& program = tape_.program;
    const bool shards = layout_.distributed_optimizer;
    for (const Bucket& bucket : buckets_) {
        const std::int64_t shard = (bucket.end - bucket.begin) / (shards ? layout_.shard_ranks : 1);
        const std::int64_t low = bucket.begin + (shards ? layout_.coordinate * shard : 0), high = low + shard;
        for (Parameter* p : bucket.parameters) {
            const Place& place = places_.at(p);
            const std::int64_t from = std::max(low - place.offset, std::int64_t{0}), to = std::min(high - place.offset, p->elements());
            if (from >= to) continue;
            OwnedPart part{p, to - from, {}, {}, {}};
            const auto view = [&](TensorId whole) {
                schedule::Tensor t = program.at(whole);
                t.rows = 1;
                t.columns = t.row_stride = part.elements;
                t.offset.constant += from * size_of(t.dtype);
                return program.tensor(t);
            };
            part.value = view(p->value.tensor);
            part.gradient = view(place.main_gradient.tensor);
            // The start as a function of the coordinate: other coordinates have other programs, and replicas the same part.
            if (!shards) part.range = {p->layout, {}, part.elements};
            else if (layout_.one_rank) part.range = {p->layout, {from - layout_.coordinate * shard, shard, layout_.shard}, part.elements};
            parts.push_back(part);
        }
    }
    return parts;
}

}  // namespace zerosim::strategy::megatron
