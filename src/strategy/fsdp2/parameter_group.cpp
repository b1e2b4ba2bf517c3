#include "strategy/fsdp2/parameter_group.hpp"

#include "base/error.hpp"
#include "strategy/torch/quantization.hpp"

#include <algorithm>
#include <cmath>

namespace zerosim::strategy::fsdp2 {

using schedule::Role;

namespace {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
/// What split_with_sizes_copy uploads: 8 bytes for each block that it launches for a rank's parts, four more for each part, one more
/// [aten/src/ATen/native/cuda/TensorShape.cu, split_with_sizes_copy_out_cuda_contiguous_no_cast].
std::int64_t copy_out_table(const std::vector<std::int64_t>& parts, std::int64_t ranks, const torch::DeviceKernels& device) {
    constexpr std::int64_t kThreads = 128, kBlockBytes = 16 * kThreads;
    const std::int64_t most = 2 * device.multiprocessors * device.threads_per_multiprocessor / kThreads;
    std::int64_t wanted = 0, launched = 0;
    for (const std::int64_t part : parts) wanted += ceil_div(part, kBlockBytes);
    const std::int64_t factor = ceil_div(wanted * ranks, most);
    const std::int64_t ranks_a_block = std::min(static_cast<std::int64_t>(std::ceil(std::sqrt(static_cast<double>(factor)))), ranks);
    const std::int64_t repeats = ceil_div(factor, ranks_a_block);
    for (const std::int64_t part : parts) launched += ceil_div(part, kBlockBytes * repeats);
    return 8 * (launched + 4 * static_cast<std::int64_t>(parts.size()) + 1);
}

}  // namespace

ParameterGroup::ParameterGroup(Tape& tape, Comm& comm, std::vector<Parameter*> parameters, bool reshard_after_forward, int layer)
    : tape_(tape), comm_(comm), reshard_after_forward_(reshard_after_forward), layer_(layer) {
    for (Parameter* p : parameters) {
        Member m;
        m.parameter = p;
        if (p->format != WeightFormat::full) {
            members_.push_back(packed_member(*p));
            continue;
        }
        m.shard_elements = ceil_div(p->rows, comm.shard_ranks) * p->columns;
        const std::int64_t bytes = m.shard_elements * comm.shard_ranks * size_of(comm.compute_dtype);
        m.whole = tape.program.storage(p->name, bytes, comm.compute_pool, Role::gathered_parameter, layer);
        m.whole_tensor = tape.view(p->name, m.whole, comm.compute_dtype, p->rows, p->columns);
        tape.program.at(m.whole_tensor).parameter = p->index;
        m.whole_by_rank = tape.program.tensor(p->name, m.whole, comm.compute_dtype, comm.shard_ranks, m.shard_elements);
        schedule::FlatLayout& layout = tape.program.at(p->layout);
        layout.shard = m.shard_elements;
        layout.padded = m.shard_elements * comm.shard_ranks;
        members_.push_back(m);
        p->dtype = comm.compute_dtype;
        p->value.tensor = m.whole_tensor;
        p->value.dtype = comm.compute_dtype;
        p->value.rows = p->rows;
        p->value.columns = p->columns;
        tape.require_gradient(*p);
    }
}

namespace {

/// Of a packed matrix, what is sharded.
std::int64_t sharded_bytes(const Parameter& p) {
    const auto parts = torch::packed_parts(p.format, p.rows, p.columns);
    std::int64_t bytes = 0;
    for (std::size_t i = 0; i < torch::sharded_parts(p.format); ++i) bytes += parts[i].bytes;
    return bytes;
}

}  // namespace

/// bitsandbytes' Params4bit with quant_storage in the compute dtype: a vector of such elements over the packed bits, sharded as others are;
/// what it takes to widen them is no parameter and stays whole on every rank (nn/modules.py, Linear4bit). torchao's NF4Tensor: torch::sharded_parts.
ParameterGroup::Member ParameterGroup::packed_member(Parameter& p) {
    const std::int64_t whole_bytes = sharded_bytes(p);
    Member m;
    m.parameter = &p;
    m.shard_elements = ceil_div(ceil_div(whole_bytes, size_of(comm_.compute_dtype)), comm_.shard_ranks);
    const std::int64_t bytes = m.shard_elements * comm_.shard_ranks * size_of(comm_.compute_dtype);
    m.whole = tape_.program.storage(p.name, bytes, comm_.compute_pool, Role::gathered_parameter, layer_);
    m.whole_tensor = tape_.program.tensor(p.name, m.whole, DType::uint8, 1, whole_bytes);
    m.whole_by_rank = tape_.program.tensor(p.name, m.whole, comm_.compute_dtype, comm_.shard_ranks, m.shard_elements);
    p.dtype = comm_.compute_dtype;
    p.value.tensor = m.whole_tensor;
    p.value.dtype = DType::uint8;
    p.value.rows = p.rows;
    p.value.columns = p.columns;
    return m;
}

void ParameterGroup::allocate_packed(Member& m) {
    const auto parts = torch::packed_parts(m.parameter->format, m.parameter->rows, m.parameter->columns);
    m.shard = tape_.program.shard_storage(m.parameter->name, m.shard_elements * size_of(comm_.compute_dtype), sharded_bytes(*m.parameter), comm_.compute_pool,
                                          Role::parameter_shard, layer_);
    tape_.program.alloc(m.shard);
    m.shard_tensor = tape_.view(m.parameter->name, m.shard, comm_.compute_dtype, m.shard_elements, 1);
    tape_.program.fill(comm_.compute, m.shard_tensor, 0);   // values come from a checkpoint
    for (std::size_t i = torch::sharded_parts(m.parameter->format); i < parts.size(); ++i)
        m.parameter->statistics.push_back(tape_.memory.allocate(parts[i].name, parts[i].bytes, comm_.compute_pool, Role::parameter));
}

void ParameterGroup::allocate_shard(Parameter* parameter, bool again) {
    for (Member& m : members_) {
        if (m.parameter != parameter) continue;
        if (parameter->format != WeightFormat::full) {
            allocate_packed(m);
            continue;
        }
        const std::int64_t width = size_of(comm_.shard_dtype);
        const StorageId before = m.shard;
        m.shard = tape_.program.shard_storage(parameter->name, m.shard_elements * width, parameter->elements() * width,
                                              comm_.offload ? comm_.host_pool : comm_.compute_pool, Role::parameter_shard, layer_);
        if (comm_.offload) tape_.program.at(m.shard).space = schedule::Space::pinned;
        tape_.program.alloc(m.shard);
        if (again) tape_.program.free(before);
        m.shard_tensor = tape_.view(parameter->name, m.shard, comm_.shard_dtype, m.shard_elements, 1);
        tape_.program.at(m.shard_tensor).parameter = parameter->index;
        tape_.program.initialize(comm_.compute, m.shard_tensor, {}, m.range(comm_.shard));
    }
}

Buffer ParameterGroup::scratch(const char* name, std::int64_t elements, DType dtype, PoolId pool, Role role, TensorId& tensor) {
    Buffer buffer = tape_.memory.allocate(name, elements * size_of(dtype), pool, role);
    tensor = tape_.view(name, buffer.storage(), dtype, elements, 1);
    return buffer;
}

void ParameterGroup::unshard() {
    if (!sharded_ || gathered_) return;
    if (comm_.shard_ranks == 1) {
        gathered_.emplace();
        return;
    }
    gather();
}

/// The gather's input in the compute dtype: a flat cast copy [_get_param_all_gather_inputs], or the shards if they have that dtype.
/// With CPU offload each shard comes over as it is and is cast on the device, parameter by parameter [all_gather_inputs].
std::vector<Buffer> ParameterGroup::copy_in(std::vector<TensorId>& sources) {
    std::vector<Buffer> inputs;
    if (comm_.offload) {
        for (const Member& m : members_) {
            TensorId source;
            Buffer upload = scratch("uploaded_shard", m.shard_elements, comm_.shard_dtype, comm_.copy_in_pool, Role::staging, source);
            tape_.program.copy(comm_.copy_in, m.shard_tensor, source);
            if (casts()) {
                const TensorId wide = source;
                inputs.push_back(scratch("gather_input", m.shard_elements, comm_.compute_dtype, comm_.copy_in_pool, Role::staging, source));
                tape_.program.copy(comm_.copy_in, wide, source);
            } else {
                inputs.push_back(std::move(upload));
            }
            sources.push_back(source);
        }
        return inputs;
    }
    if (!casts()) {
        for (const Member& m : members_) sources.push_back(m.shard_tensor);
        return inputs;
    }
    TensorId flat;
    inputs.push_back(scratch("gather_input", shard_elements(), comm_.compute_dtype, comm_.copy_in_pool, Role::staging, flat));
    std::vector<TensorId> pairs;
    std::int64_t offset = 0;
    for (const Member& m : members_) {
        sources.push_back(tape_.program.tensor("gather_input", inputs.front().storage(), comm_.compute_dtype, 1, m.shard_elements, {offset, 0, {}}));
        pairs.insert(pairs.end(), {m.shard_tensor, sources.back()});
        offset += m.shard_elements * size_of(comm_.compute_dtype);
    }
    tape_.program.copy_all(comm_.copy_in, pairs);
    return inputs;
}

std::int64_t ParameterGroup::shard_elements() const {
    std::int64_t elements = 0;
    for (const Member& m : members_) elements += m.shard_elements;
    return elements;
}

void ParameterGroup::gather() {
    const std::int64_t elements = shard_elements(), width = size_of(comm_.compute_dtype);
    std::vector<TensorId> sources;
    const std::vector<Buffer> inputs = copy_in(sources);   // until the gather is called
    gathered_ = scratch("gather_output", elements * comm_.shard_ranks, comm_.compute_dtype, comm_.copy_in_pool, Role::staging, gathered_tensor_);
    const auto slice = [&](std::int64_t offset, std::int64_t count) {
        return tape_.program.tensor("gather_slice", gathered_->storage(), comm_.compute_dtype, 1, count, {offset * width, elements * width, comm_.shard});
    };
    std::vector<TensorId> pairs;
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < members_.size(); ++i) {
        pairs.insert(pairs.end(), {sources[i], slice(offset, members_[i].shard_elements)});
        offset += members_[i].shard_elements;
    }
    const OpId copied = tape_.program.copy_all(comm_.copy_in, pairs);
    schedule::Collective c;
    c.kind = CollectiveKind::all_gather;
    c.axis = comm_.shard;
    c.send = slice(0, elements);
    c.receive = gathered_tensor_;
    gather_op_ = tape_.program.collective(comm_.gather, "all_gather", c, std::vector<OpId>{copied});
}

/// One rank: no gather; each parameter is cast and copied. The loop's variable holds a cast until the next one is made [wait_for_unshard].
void ParameterGroup::copy_directly() {
    Buffer input;
    for (Member& m : members_) {
        TensorId narrow = m.shard_tensor;
        Buffer cast, upload;
        if (comm_.offload) {
            upload = scratch("uploaded_shard", m.shard_elements, comm_.shard_dtype, comm_.compute_pool, Role::staging, narrow);
            tape_.program.copy(comm_.compute, m.shard_tensor, narrow);
        }
        if (casts()) {
            const TensorId source = narrow;
            cast = scratch("cast_shard", m.shard_elements, comm_.compute_dtype, comm_.compute_pool, Role::staging, narrow);
            tape_.program.copy(comm_.compute, source, narrow);
            upload.reset();
        }
        input = casts() ? std::move(cast) : std::move(upload);
        tape_.program.alloc(m.whole);
        tape_.program.copy(comm_.compute, narrow, m.parameter->format == WeightFormat::full ? m.whole_tensor : m.whole_by_rank);
    }
}

/// split_with_sizes_copy of the gather's output, in which each rank's shards lie together.
void ParameterGroup::copy_out() {
    schedule::Tensor part = tape_.program.at(gathered_tensor_);
    part.rows = comm_.shard_ranks;
    part.row_stride = part.columns / comm_.shard_ranks;
    std::vector<TensorId> pairs;
    std::vector<std::int64_t> parts;
    for (const Member& m : members_) {
        parts.push_back(m.shard_elements * size_of(comm_.compute_dtype));
        tape_.program.alloc(m.whole);
        part.columns = m.shard_elements;
        pairs.push_back(tape_.program.tensor(part));
        pairs.push_back(m.whole_by_rank);
        part.offset.constant += m.shard_elements * size_of(comm_.compute_dtype);
    }
    const Buffer table = tape_.scratch("copy_out_table", copy_out_table(parts, comm_.shard_ranks, tape_.options.device));
    tape_.memory.used_elsewhere(gathered_->storage(), tape_.program.copy_all(comm_.compute, pairs, std::vector<OpId>{gather_op_}));
}

void ParameterGroup::wait_for_unshard(bool forward) {
    if (!gathered_) return;
    if (comm_.shard_ranks == 1) {
        copy_directly();
    } else {
        copy_out();
    }
    sharded_ = false;
    const OpId copied_out = tape_.program.last(comm_.compute);
    if (forward) {
        comm_.gathers_wait(tape_.program, std::exchange(comm_.copied_out, copied_out));
        comm_.previous_gather = std::move(*gathered_);   // so that the next gather may overlap this copy-out
    } else {
        comm_.gathers_wait(tape_.program, copied_out);
    }
    gathered_.reset();
}

void ParameterGroup::reshard() {
    if (sharded_) return;
    for (const Member& m : members_) tape_.program.free(m.whole);
    sharded_ = true;
}

/// [accumulate_unsharded_grad_if_needed]
void ParameterGroup::accumulate_gradients() {
    for (Member& m : members_) {
        if (!m.upcast_gradient.defined() || !m.parameter->gradient.defined()) continue;
        tape_.program.copy(comm_.compute, m.parameter->gradient.tensor, m.upcast_gradient.tensor, true);
        m.parameter->gradient = {};
    }
}

/// [to_accumulated_grad_if_needed]
void ParameterGroup::keep_unsharded_gradients() {
    for (Member& m : members_) {
        Value& gradient = m.parameter->gradient;
        if (!gradient.defined() || gradient.dtype == comm_.reduce_dtype) continue;
        const Value narrow = std::exchange(gradient, Value{});
        m.upcast_gradient = tape_.make("unsharded_gradient", narrow.rows, narrow.columns, comm_.reduce_dtype, Role::gradient);
        tape_.cast(narrow, m.upcast_gradient);
    }
}

void ParameterGroup::post_backward() {
    finished_backward_ = true;
    accumulate_gradients();
    if (!comm_.synchronize) {
        reshard();
        keep_unsharded_gradients();
        return;
    }
    std::vector<Pending> pending;
    std::int64_t shard_elements = 0;
    for (Member& m : members_) {
        Value& source = m.upcast_gradient.defined() ? m.upcast_gradient : m.parameter->gradient;
        if (!source.defined()) continue;
        pending.push_back({&m, std::exchange(source, Value{})});
        shard_elements += m.shard_elements;
    }
    reshard();
    if (pending.empty()) return;
    comm_.previous_reduce_input.reset();
    reduce(std::move(pending), shard_elements);
}

torch::Updated ParameterGroup::updated(const Parameter* parameter) const {
    for (const Member& m : members_)
        if (m.parameter == parameter)
            return {parameter->name, layer_, m.shard_elements, comm_.shard_dtype, m.shard_tensor, m.gradient, m.range(comm_.shard)};
    throw BugError("a parameter is not of this group");
}

}  // namespace zerosim::strategy::fsdp2
