#include "strategy/deepspeed/engine.hpp"

#include "strategy/torch/quantization.hpp"

#include <utility>

namespace zerosim::strategy::deepspeed {

using schedule::Space;
using schedule::StreamKind;

// The gather and reduce streams carry copies; collectives wait for them and they for collectives (ProcessGroupNCCL: one stream per group).
Streams declare_streams(schedule::ProgramBuilder& program, bool gather_apart, bool reduce_apart) {
    Streams s;
    s.compute = s.gather = s.reduce = program.stream("default", StreamKind::compute);
    if (gather_apart) s.gather = program.stream("all_gather", StreamKind::copy);
    if (reduce_apart) s.reduce = program.stream("reduce", StreamKind::copy);
    s.collectives = program.stream("nccl", StreamKind::communication);
    s.host = program.stream("cpu_adam", StreamKind::host);
    s.compute_pool = s.gather_pool = s.reduce_pool = program.pool("default", s.compute);
    if (gather_apart) s.gather_pool = program.pool("all_gather", s.gather);
    if (reduce_apart) s.reduce_pool = program.pool("reduce", s.reduce);
    s.pinned_pool = program.pool("host", s.compute);
    s.nvme_pool = program.pool("nvme", s.compute);
    return s;
}

Engine::Engine(Tape& tape_in, schedule::Schedule& schedule_in, const Scenario& scenario_in, const Streams& streams_in, std::int64_t rank_in)
    : tape(tape_in),
      program(tape_in.program),
      schedule(schedule_in),
      scenario(scenario_in),
      options(scenario_in.strategy.deepspeed),
      streams(streams_in),
      ranks(scenario_in.ranks),
      rank(rank_in),
      compute_dtype(strategy::compute_dtype(scenario_in.training.precision)),
      overlap(options.overlap.value_or(scenario_in.strategy.zero_stage == 3)) {}

std::vector<Group> Engine::groups(torch::LanguageModel& model) const {
    Group matrices{{}, scenario.training.weight_decay > 0}, vectors{{}, false};
    for (Parameter& p : model.parameters())
        if (p.trainable) (matrices.decays && p.columns == 1 ? vectors : matrices).parameters.push_back(&p);
    std::vector<Group> all;
    for (Group* group : {&matrices, &vectors})
        if (!group->parameters.empty()) all.push_back(std::move(*group));
    return all;
}

OpId Engine::collective(CollectiveKind kind, std::string_view name, StreamId from, TensorId send, TensorId receive, bool waits, bool scalar) {
    if (ranks == 1) return program.last(from);
    schedule::Collective c;
    c.kind = kind;
    c.axis = data;
    c.send = send;
    c.receive = receive;
    c.scalar = scalar;
    const bool reduces = kind == CollectiveKind::all_reduce || kind == CollectiveKind::reduce_scatter;
    if (reduces) c.reduction = Reduction::sum;
    const Buffer scratch = reduces ? tape.reduction_scratch(c, pool_of(from), ranks) : Buffer{};
    program.wait_stream(streams.collectives, from);
    const OpId op = program.collective(streams.collectives, name, c);
    if (scratch.valid()) tape.memory.record_stream(scratch.storage(), op);
    if (waits) program.mark(from, "wait", {&op, 1}); // Work.wait
    return op;
}

void Engine::divide_by_ranks(StreamId stream, TensorId tensor) {
    const schedule::Tensor whole = program.at(tensor);
    kernel::Attributes a;
    a.tokens = whole.rows;
    a.out = whole.columns;
    a.in = 1;
    a.operation = kernel::EagerOperation::scale;
    a.value = static_cast<float>(1.0 / static_cast<double>(ranks));
    program.compute(stream, "div_", kernel::Kernel::elementwise, std::vector<TensorId>{tensor, {}, {}, tensor}, a);
}

Value Engine::make_in(std::string_view name, std::int64_t elements, DType dtype, Role role, PoolId pool, Space space) {
    Value value;
    value.dtype = dtype;
    value.rows = elements;
    value.columns = 1;
    value.buffer = tape.memory.allocate(name, elements * size_of(dtype), pool, role, space);
    value.tensor = program.tensor(name, value.buffer.storage(), dtype, 1, elements);
    return value;
}

Value Engine::make(StreamId stream, std::string_view name, std::int64_t elements, DType dtype, Role role) {
    return make_in(name, elements, dtype, role, pool_of(stream), Space::device);
}

Value Engine::make_on_host(std::string_view name, std::int64_t elements, DType dtype, Role role, bool pinned) {
    return make_in(name, elements, dtype, role, streams.pinned_pool, pinned ? Space::pinned : Space::host);
}

Value Engine::make_on_nvme(std::string_view name, std::int64_t elements, DType dtype, Role role) {
    return make_in(name, elements, dtype, role, streams.nvme_pool, Space::nvme);
}

void Engine::copy_over_link(StreamId stream, TensorId source, TensorId destination, bool blocking) {
    const OpId copied = program.copy(stream, source, destination);
    if (blocking || space_of(source) == Space::host || space_of(destination) == Space::host) program.host_wait(streams.compute, std::vector{copied});
}

TensorId Engine::part(std::string_view name, TensorId tensor, std::int64_t begin, std::int64_t count) {
    schedule::Tensor view = program.at(tensor);
    view.offset.constant += begin * size_of(view.dtype);
    view.rows = 1;
    view.columns = view.row_stride = count;
    view.name = program.intern(name);
    return program.tensor(view);
}

TensorId Engine::slice(TensorId tensor, std::int64_t begin, std::int64_t count) {
    schedule::Tensor view = program.at(tensor);
    view.offset.constant += begin * size_of(view.dtype);
    view.rows = 1;
    view.columns = view.row_stride = count;
    return program.tensor(view);
}

TensorId Engine::shaped(const Parameter& parameter, TensorId flat, std::int64_t begin) {
    schedule::Tensor view = program.at(flat);
    view.offset.constant += begin * size_of(view.dtype);
    view.rows = parameter.columns == 1 ? 1 : parameter.rows;
    view.columns = view.row_stride = parameter.columns == 1 ? parameter.rows : parameter.columns;
    view.parameter = parameter.index;
    view.layer = static_cast<std::int16_t>(parameter.layer);
    return program.tensor(view);
}

Value Engine::build(Parameter& p) {
    program.tags.layer = static_cast<std::int16_t>(p.layer);
    Value value = make(streams.compute, p.name, p.elements(), compute_dtype, Role::parameter);
    program.initialize(streams.compute, value.tensor, {}, whole_range(p.layout, p.elements()));
    program.tags.layer = -1;
    p.dtype = p.value.dtype = compute_dtype;
    p.value.rows = p.rows;
    p.value.columns = p.columns;
    return value;
}

void Engine::place_whole(Parameter& p) {
    if (torch::packs(p, scenario.model.weight_density)) return torch::place_packed(tape, p, scenario.model.weight_density);
    whole_.push_back(build(p));
    p.value.tensor = shaped(p, whole_.back().tensor);
}

LayoutId Engine::flat_layout(std::string_view name, const std::vector<Parameter*>& parameters, std::int64_t padded, bool decays) {
    schedule::FlatLayout flat;
    flat.name = program.intern(name);
    for (const Parameter* p : parameters) {
        flat.segments.push_back({p->index, flat.total, p->elements(), decays, p->input_major ? p->rows : 0});
        flat.total += p->elements();
    }
    flat.padded = padded;
    flat.shard = padded / ranks;
    return program.layout(std::move(flat));
}

} // namespace zerosim::strategy::deepspeed
