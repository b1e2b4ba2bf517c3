// FSDPParamGroup's second half: gradients into the reduce-scatter's input, the reductions, and what is kept of them.
#include "strategy/fsdp2/parameter_group.hpp"

namespace zerosim::strategy::fsdp2 {

using schedule::Role;

namespace {

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
// A block of _chunk_cat copies 2 KiB of a rank's part of one gradient [TensorShape.cu, get_chunk_cat_metadata].
constexpr std::int64_t kBlockBytes = 2048;

}  // namespace

/// [chunk_cat] Rank by rank: its rows of every gradient, padded with zeros to equal parts.
void ParameterGroup::chunk_cat(const std::vector<Pending>& pending, StorageId input, std::int64_t shard_elements) {
    const std::int64_t width = size_of(comm_.reduce_dtype);
    std::int64_t table_entries = 6 * static_cast<std::int64_t>(pending.size()) + 2;   // 8 bytes each: of gradients, and of blocks
    for (const Pending& p : pending) table_entries += ceil_div(p.member->shard_elements * width, kBlockBytes);
    const Buffer table = tape_.scratch("copy_in_table", 8 * table_entries);
    std::vector<TensorId> pairs, padding;
    const auto part = [&](std::int64_t rows, std::int64_t columns, std::int64_t at) {
        schedule::Tensor view = tape_.program.at(tape_.program.tensor("reduce_input", input, comm_.reduce_dtype, rows, columns, {at * width, 0, {}}));
        view.row_stride = rows > 1 ? shard_elements : columns;
        return tape_.program.tensor(view);
    };
    const auto rows_of = [&](const Value& g, std::int64_t rows, std::int64_t columns, std::int64_t from) {
        schedule::Tensor view = tape_.program.at(g.tensor);
        view.rows = rows;
        view.columns = view.row_stride = columns;
        view.offset.constant += from * size_of(g.dtype);
        return tape_.program.tensor(view);
    };
    std::int64_t offset = 0;
    for (const auto& [member, gradient] : pending) {
        const std::int64_t chunk = member->shard_elements, full = gradient.elements() / chunk, rest = gradient.elements() % chunk;
        if (full > 0) pairs.insert(pairs.end(), {rows_of(gradient, full, chunk, 0), part(full, chunk, offset)});
        if (rest > 0) {
            pairs.insert(pairs.end(), {rows_of(gradient, 1, rest, full * chunk), part(1, rest, full * shard_elements + offset)});
            padding.push_back(part(1, chunk - rest, full * shard_elements + offset + rest));
        }
        // One view for all ranks that hold nothing: of 131,072 ranks most do, and the program must not grow with them.
        const std::int64_t empty = full + (rest > 0 ? 1 : 0);
        if (empty < comm_.shard_ranks) padding.push_back(part(comm_.shard_ranks - empty, chunk, empty * shard_elements + offset));
        offset += chunk;
    }
    tape_.program.copy_all(comm_.compute, pairs);
    if (!padding.empty()) tape_.program.fill_all(comm_.compute, padding, 0);
}

/// [foreach_reduce]
void ParameterGroup::reduce(std::vector<Pending> pending, std::int64_t shard_elements) {
    TensorId whole, slice;
    Buffer input = scratch("reduce_input", shard_elements * comm_.shard_ranks, comm_.reduce_dtype, comm_.compute_pool, Role::bucket, whole);
    std::vector<Member*> members;
    chunk_cat(pending, input.storage(), shard_elements);
    for (const Pending& p : pending) members.push_back(p.member);
    pending.clear();
    tape_.program.wait_stream(comm_.scatter, comm_.compute);
    Buffer output = scratch("sharded_gradients", shard_elements, comm_.reduce_dtype, comm_.scatter_pool, Role::gradient_shard, slice);
    schedule::Collective c;
    c.kind = CollectiveKind::reduce_scatter;
    c.axis = comm_.shard;
    c.send = whole;
    c.receive = slice;
    c.reduction = Reduction::average;
    {
        const Buffer room = tape_.reduction_scratch(c, comm_.scatter_pool, comm_.shard_ranks);
        comm_.last_reduction = tape_.program.collective(comm_.scatter, "reduce_scatter", c);
    }
    tape_.memory.used_elsewhere(input.storage(), comm_.last_reduction);
    PoolId pool = comm_.scatter_pool;
    StreamId stream = comm_.scatter;
    if (comm_.replicas > 1) {
        pool = comm_.reduce_pool;
        stream = comm_.reduce;
        c.kind = CollectiveKind::all_reduce;
        c.axis = comm_.replicate;
        c.send = c.receive = slice;
        c.scratch = {};
        tape_.program.wait_stream(stream, comm_.scatter);
        const Buffer room = tape_.reduction_scratch(c, pool, comm_.replicas);
        comm_.last_reduction = tape_.program.collective(stream, "all_reduce", c);
        comm_.all_reduce_inputs.push_back(output);
    }
    comm_.previous_reduce_input = std::move(input);
    if (comm_.reduce_dtype != comm_.shard_dtype) {
        TensorId narrow;
        Buffer cast = scratch("sharded_gradients", shard_elements, comm_.shard_dtype, pool, Role::gradient_shard, narrow);
        comm_.last_reduction = tape_.program.copy(stream, slice, narrow);
        output = std::move(cast);
        slice = narrow;
    }
    if (comm_.offload) {
        copy_to_host(slice, members);   // the output is freed at once
    } else {
        keep(std::move(output), slice, stream, members);
    }
}

/// Each member's part; added to what an earlier micro-batch has left [sharded_param.grad += new_sharded_grad].
void ParameterGroup::keep(Buffer output, TensorId slice, StreamId stream, const std::vector<Member*>& members) {
    schedule::Tensor part = tape_.program.at(slice);
    bool kept = false;
    for (Member* m : members) {
        part.columns = part.row_stride = m->shard_elements;
        const TensorId own = tape_.program.tensor(part);
        part.offset.constant += m->shard_elements * size_of(part.dtype);
        if (m->gradient.valid()) {
            comm_.last_reduction = tape_.program.copy(stream, own, m->gradient, true);
        } else {
            m->gradient = own;
            kept = true;
        }
    }
    if (kept) gradients_.push_back(std::move(output));
}

/// Sharded gradients in pinned host memory until zero_grad.
void ParameterGroup::copy_to_host(TensorId gradients, const std::vector<Member*>& members) {
    schedule::Tensor part = tape_.program.at(gradients);
    for (Member* m : members) {
        gradients_.push_back(tape_.memory.allocate("host_gradient", m->shard_elements * size_of(comm_.shard_dtype), comm_.host_pool, Role::gradient_shard,
                                                   schedule::Space::pinned));
        part.columns = part.row_stride = m->shard_elements;
        const TensorId source = tape_.program.tensor(part);
        m->gradient = tape_.view("host_gradient", gradients_.back().storage(), comm_.shard_dtype, m->shard_elements, 1);
        comm_.last_reduction = tape_.program.copy(comm_.replicas > 1 ? comm_.reduce : comm_.scatter, source, m->gradient);
        part.offset.constant += m->shard_elements * size_of(comm_.shard_dtype);
    }
}

}  // namespace zerosim::strategy::fsdp2
