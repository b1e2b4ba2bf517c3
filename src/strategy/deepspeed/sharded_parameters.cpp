#include "strategy/deepspeed/sharded_parameters.hpp"

#include "strategy/torch/quantization.hpp"

namespace zerosim::strategy::deepspeed {

using schedule::Space;

namespace {

/// bitsandbytes' Params4bit with quant_storage in the compute dtype is a vector of such elements over the packed bits, which ZeRO partitions as any
/// other; what it takes to widen them is no parameter and stays whole on every rank (nn/modules.py, Linear4bit).
bool is_packed(const ShardedParameter& p) { return p.parameter->format != WeightFormat::full; }

std::int64_t packed_bytes(const Parameter& p) { return torch::packed_parts(p.format, p.rows, p.columns).front().bytes; }

}  // namespace

ShardedParameters::ShardedParameters(Engine& engine, torch::LanguageModel& model) : engine_(engine), model_(model) {
    std::int64_t persisted = 0;
    for (Parameter& parameter : model.parameters()) {
        ShardedParameter& p = all_.emplace_back();
        p.parameter = &parameter;
        p.elements = is_packed(p) ? ceil_div(packed_bytes(parameter), size_of(engine.compute_dtype)) : parameter.elements();
        p.shard = ceil_div(p.elements, engine.ranks);
        p.layout = parameter.layout;
        p.id = static_cast<int>(all_.size());
        // [mark_persistent_parameters]
        p.persists = p.elements <= engine.options.persistence_threshold && p.elements + persisted <= engine.options.model_persistence_threshold;
        if (p.persists) persisted += p.elements;
        by_parameter_[&parameter] = &p;
    }
}

ShardedParameter::Whole ShardedParameters::declare_whole(const ShardedParameter& p, PoolId pool) const {
    schedule::ProgramBuilder& program = engine_.program;
    const std::int64_t width = size_of(engine_.compute_dtype), padded = p.shard * engine_.ranks;
    ShardedParameter::Whole whole;
    whole.storage = program.storage(p.parameter->name, padded * width, pool, Role::gathered_parameter, p.parameter->layer);
    program.at(whole.storage).payload_total = p.elements * width;
    whole.flat = program.tensor(p.parameter->name, whole.storage, engine_.compute_dtype, 1, padded);
    whole.by_rank = program.tensor(p.parameter->name, whole.storage, engine_.compute_dtype, engine_.ranks, p.shard);
    whole.shaped = shaped(p, whole.flat);
    return whole;
}

/// As a product takes it: a matrix, or the vector of its packed bits.
TensorId ShardedParameters::shaped(const ShardedParameter& p, TensorId flat) const {
    if (!is_packed(p)) return engine_.shaped(*p.parameter, engine_.part(p.parameter->name, flat, 0, p.elements));
    schedule::Tensor view = engine_.program.at(flat);
    view.dtype = DType::uint8;
    view.rows = 1;
    view.columns = view.row_stride = packed_bytes(*p.parameter);
    return engine_.program.tensor(view);
}

/// One rank needs no copy: the parameter is a view of its shard.
void ShardedParameters::view_shard(ShardedParameter& p) {
    p.gathered.shaped = p.kept.shaped = shaped(p, p.shard_tensor);
    p.gathered.storage = p.kept.storage = StorageId{};
    p.parameter->value.tensor = p.gathered.shaped;
}

void ShardedParameters::use(ShardedParameter& p, bool kept) {
    p.is_kept = kept;
    p.parameter->value.tensor = kept ? p.kept.shaped : p.gathered.shaped;
}

/// zero.Init: each parameter is made on the device, broadcast from rank 0, its shard cut out, and dropped.
void ShardedParameters::construct() {
    Engine& e = engine_;
    for (ShardedParameter& p : all_) {
        e.program.tags.layer = static_cast<std::int16_t>(p.parameter->layer);
        p.gathered = declare_whole(p, e.streams.gather_pool);
        p.kept = declare_whole(p, e.streams.compute_pool);
        const Value whole = e.make(e.streams.compute, p.parameter->name, p.shard * e.ranks, e.compute_dtype, Role::gathered_parameter);
        if (is_packed(p)) e.program.fill(e.streams.compute, whole.tensor, 0);   // values come from a checkpoint
        else e.program.initialize(e.streams.compute, whole.tensor, {}, e.whole_range(p.layout, p.shard * e.ranks));
        e.collective(CollectiveKind::broadcast, "broadcast", e.streams.compute, whole.tensor, whole.tensor);
        p.built = e.make(e.streams.compute, p.parameter->name, p.shard, e.compute_dtype, Role::parameter_shard);
        schedule::Tensor own = e.program.at(whole.tensor);
        own.columns = own.row_stride = p.shard;
        own.offset = {0, e.ranks > 1 ? p.shard * size_of(own.dtype) : 0, e.data};
        e.program.copy(e.streams.compute, e.program.tensor(own), p.built.tensor);
        Parameter& parameter = *p.parameter;
        parameter.dtype = e.compute_dtype;
        parameter.value.dtype = is_packed(p) ? DType::uint8 : e.compute_dtype;
        parameter.value.rows = parameter.rows;
        parameter.value.columns = parameter.columns;
        use(p, false);
        if (parameter.trainable) e.tape.require_gradient(parameter);
        if (!is_packed(p)) continue;
        const auto parts = torch::packed_parts(parameter.format, parameter.rows, parameter.columns);
        for (std::size_t i = 1; i < parts.size(); ++i)
            parameter.statistics.push_back(e.tape.memory.allocate(parts[i].name, parts[i].bytes, e.streams.compute_pool, Role::parameter));
    }
    e.program.tags.layer = -1;
}

void ShardedParameters::visit_all() {
    Engine& e = engine_;
    for (ShardedParameter& p : all_) {
        if (e.ranks == 1 && !offloads()) view_shard(p);
        if (!p.kept.storage.valid() || !p.parameter->trainable) continue;
        e.program.alloc(p.kept.storage);
        e.program.fill(e.streams.compute, p.kept.flat, 0);
        Value room;
        const TensorId shard = on_device(p, e.streams.compute, room);
        if (e.ranks > 1) e.collective(CollectiveKind::all_gather, "all_gather", e.streams.compute, shard, p.kept.flat);
        e.program.free(p.kept.storage);
    }
}

TensorId ShardedParameters::on_device(ShardedParameter& p, StreamId stream, Value& room) {
    if (!offloads()) return p.shard_tensor;
    room = engine_.make(stream, "uploaded_shard", p.shard, engine_.compute_dtype, Role::staging);
    if (p.file_tensor.valid()) engine_.program.copy(stream, p.file_tensor, p.shard_tensor); // read into the swap buffer
    engine_.copy_over_link(stream, p.shard_tensor, room.tensor);
    return room.tensor;
}

void ShardedParameters::gather(const std::vector<ShardedParameter*>& parameters) {
    if (parameters.empty()) return;
    const auto handle = std::make_shared<GatherHandle>();
    handle->members = parameters;
    for (ShardedParameter* p : parameters) {
        p->status = Status::in_flight;
        p->handle = handle;
        use(*p, false);
    }
    if (engine_.ranks == 1) return; // [NoGatherCoalescedHandle]
    if (parameters.size() == 1) return gather_alone(*parameters.front(), *handle);
    gather_together(*handle);
}

/// The gather's buffer becomes the parameter.
void ShardedParameters::gather_alone(ShardedParameter& p, GatherHandle& handle) {
    Engine& e = engine_;
    e.program.alloc(p.gathered.storage);
    Value room;
    const TensorId shard = on_device(p, e.streams.gather, room);
    handle.done = e.collective(CollectiveKind::all_gather, "all_gather", e.streams.gather, shard, p.gathered.flat, false);
    if (room.defined()) e.tape.memory.record_stream(room.buffer.storage(), handle.done);
}

/// [_all_gather_dtype]: shards are copied side by side into this rank's part of a flat buffer.
void ShardedParameters::gather_together(GatherHandle& handle) {
    Engine& e = engine_;
    std::int64_t elements = 0;
    for (const ShardedParameter* p : handle.members) elements += p->shard;
    handle.flat = e.make(e.streams.gather, "gather_buffer", elements * e.ranks, e.compute_dtype, Role::staging);
    const std::int64_t width = size_of(e.compute_dtype);
    schedule::Tensor slice = e.program.at(handle.flat.tensor);
    slice.columns = slice.row_stride = elements;
    slice.offset = {0, elements * width, e.data};
    const TensorId own = e.program.tensor(slice);
    std::vector<TensorId> pairs;
    std::vector<Value> rooms;
    std::int64_t at = 0;
    for (ShardedParameter* p : handle.members) {
        Value room;
        pairs.push_back(on_device(*p, e.streams.gather, room));
        rooms.push_back(std::move(room));
        pairs.push_back(e.slice(own, at, p->shard));
        at += p->shard;
    }
    e.program.copy_all(e.streams.gather, pairs);
    rooms.clear();
    handle.done = e.collective(CollectiveKind::all_gather, "all_gather", e.streams.gather, own, handle.flat.tensor, false);
}

OpId ShardedParameters::wait(ShardedParameter& parameter) {
    Engine& e = engine_;
    const std::shared_ptr<GatherHandle> handle = std::move(parameter.handle);
    if (handle->complete) return e.program.last(e.streams.gather);
    handle->complete = true;
    for (ShardedParameter* p : handle->members) p->status = Status::available;
    if (e.ranks == 1) {
        if (!offloads()) return {};
        for (ShardedParameter* p : handle->members) { // param.data = ds_tensor.to(device)
            e.program.alloc(p->gathered.storage);
            if (p->file_tensor.valid()) e.program.copy(e.streams.gather, p->file_tensor, p->shard_tensor);
            e.copy_over_link(e.streams.gather, p->shard_tensor, p->gathered.flat);
        }
        return e.program.last(e.streams.gather);
    }
    e.program.wait_event(e.streams.gather, handle->done);
    if (handle->members.size() == 1) return handle->done;
    schedule::Tensor rows = e.program.at(handle->flat.tensor);
    rows.rows = e.ranks;
    rows.row_stride = rows.columns / e.ranks;
    for (ShardedParameter* p : handle->members) { // torch.cat of its parts
        e.program.alloc(p->gathered.storage);
        rows.columns = p->shard;
        e.program.copy(e.streams.gather, e.program.tensor(rows), p->gathered.by_rank);
        rows.offset.constant += p->shard * size_of(e.compute_dtype);
    }
    return e.program.last(e.streams.gather);
}

void ShardedParameters::release(ShardedParameter& p) {
    Engine& e = engine_;
    p.status = Status::not_available;
    const StorageId storage = p.is_kept ? p.kept.storage : p.gathered.storage;
    if (!storage.valid()) return;
    if (p.is_kept || e.streams.gather == e.streams.compute) {
        e.program.free(storage);
    } else {
        const OpId last = e.program.last(e.streams.compute);
        e.program.free_recorded(storage, {&last, 1});
    }
}

void ShardedParameters::gather_persistent() {
    Engine& e = engine_;
    std::vector<Value> rooms;
    for (ShardedParameter& p : all_) {
        if (!p.persists) continue;
        p.status = Status::available;
        use(p, true);
        if (!p.kept.storage.valid()) continue;
        e.program.tags.layer = static_cast<std::int16_t>(p.parameter->layer);
        e.program.alloc(p.kept.storage);
        rooms.emplace_back();
        const TensorId shard = on_device(p, e.streams.compute, rooms.back());
        if (e.ranks == 1) {
            e.program.copy(e.streams.compute, shard, p.kept.flat);
        } else {
            e.collective(CollectiveKind::all_gather, "all_gather_persistent", e.streams.compute, shard, p.kept.flat);
        }
    }
    e.program.tags.layer = -1;
}

} // namespace zerosim::strategy::deepspeed
