#include "strategy/torch/tape.hpp"

#include "base/error.hpp"
#include "strategy/torch/operations.hpp"

namespace zerosim::strategy::torch {
TapeOptions training_options(const Scenario& scenario, PoolId pool, StreamId stream, DType lower) {
    TapeOptions options{pool, stream};
    options.lower = lower;
    options.fp8_products = scenario.training.fp8_products;
    options.device = device_kernels(scenario);
    options.compiled = scenario.training.compile;
    return options;
}

void set_checkpoints(Engine& engine, const Training& training) {
    engine.early_stop = training.recompute_early_stop;
    engine.selective = training.recompute.selective;
    engine.drops_unused = training.compile;
}

Tape::Tape(Memory& memory_in, const TapeOptions& options_in)
    : memory(memory_in), program(memory_in.program()), engine(memory_in, [this](const Value& a, const Value& b) { return sum_of(*this, a, b); }),
      options(options_in) {
    engine.after_recompute = [this] { end_autocast(); };
}

TensorId Tape::view(NameId name, StorageId storage, DType dtype, std::int64_t rows, std::int64_t columns) {
    return columns == 1 ? program.tensor(name, storage, dtype, 1, rows) : program.tensor(name, storage, dtype, rows, columns);
}

Value Tape::make(std::string_view name, std::int64_t rows, std::int64_t columns, DType dtype, schedule::Role role) {
    Value value;
    value.dtype = dtype;
    value.rows = rows;
    value.columns = columns;
    const NameId id = program.intern(name);
    value.buffer = memory.allocate(id, value.bytes(), options.pool, role);
    value.tensor = view(id, value.buffer.storage(), dtype, rows, columns);
    return value;
}

Value Tape::make(std::string_view name, std::int64_t rows, std::int64_t columns, DType dtype) {
    return make(name, rows, columns, dtype,
                engine.recomputing()   ? schedule::Role::recomputed_activation
                : engine.in_backward() ? schedule::Role::activation_gradient
                                       : schedule::Role::activation);
}

Buffer Tape::scratch(std::string_view name, std::int64_t bytes) {
    return memory.allocate(program.intern(name), bytes, options.pool, schedule::Role::workspace);
}

void Tape::emit(kernel::Kernel kernel, std::string_view name, std::initializer_list<TensorId> operands, const kernel::Attributes& attributes) {
    program.compute(options.stream, name, kernel, {operands.begin(), operands.size()}, attributes);
}

TensorId Tape::workspace(kernel::Kernel kernel, const kernel::Attributes& attributes, DType dtype, Buffer& held) {
    const std::int64_t bytes = kernel::workspace_bytes(kernel, attributes, dtype, options.library, options.threads);
    if (bytes == 0) return {};
    held = scratch("host_workspace", bytes);
    return program.tensor("host_workspace", held.storage(), DType::uint8, 1, bytes);
}

Buffer Tape::reduction_scratch(schedule::Collective& c, PoolId pool, std::int64_t ranks) {
    if (options.library != kernel::Library::host) return {};
    const schedule::Tensor& result = program.at(c.receive);
    const std::int64_t bytes = host_reduction_scratch_bytes(c.kind, result.elements(), size_of(result.dtype), ranks);
    if (bytes == 0) return {};
    Buffer room = memory.allocate("peers' slices", bytes, pool, schedule::Role::staging);
    c.scratch = program.tensor("peers' slices", room.storage(), DType::uint8, 1, bytes);
    return room;
}

Value Tape::reshaped(Value value, std::int64_t rows, std::int64_t columns) {
    schedule::Tensor view = program.at(value.tensor);
    check(view.contiguous() && view.elements() == rows * columns, "a strided tensor, or one of another size, cannot be reshaped");
    view.rows = rows;
    view.columns = view.row_stride = columns;
    value.tensor = program.tensor(view);
    value.rows = rows;
    value.columns = columns;
    return value;
}

void Tape::elementwise(kernel::EagerOperation operation, std::string_view name, std::initializer_list<TensorId> sources, const Value& out, int flops,
                       kernel::Attributes a) {
    std::array<TensorId, 4> operands{};
    std::size_t count = 0;
    for (const TensorId source : sources) operands.at(count++) = source;
    operands[3] = out.tensor;
    a.operation = operation;
    a.tokens = out.columns == 1 ? 1 : out.rows;
    a.out = out.columns == 1 ? out.rows : out.columns;
    a.in = flops;
    program.compute(options.stream, name, kernel::Kernel::elementwise, operands, a);
}

void Tape::cast(const Value& from, const Value& to) { program.copy(options.stream, from.tensor, to.tensor); }

void Tape::gemm_workspace(bool bias_epilogue) {
    const std::size_t thread = engine.in_backward() ? 1 : 0;
    if (!workspaces_[thread].valid()) workspaces_[thread] = scratch("cublas_workspace", options.device.gemm_workspace);
    if (!bias_epilogue || options.device.lt_workspace == 0) return;
    if (!lt_workspaces_[thread].valid()) lt_workspaces_[thread] = scratch("cublaslt_workspace", options.device.lt_workspace);
}

void Tape::require_gradient(Parameter& parameter) {
    if (!parameter.trainable) return;
    const NodeRef node = engine.leaf();
    node->tags.layer = static_cast<std::int16_t>(parameter.layer);
    node->apply = [this, &parameter](Node&, Values& gradients) {
        if (parameter.gradient.defined()) {
            program.copy(options.stream, gradients[0].tensor, parameter.gradient.tensor, true);
        } else {
            parameter.gradient = std::move(gradients[0]);
        }
        if (parameter.after_accumulate) parameter.after_accumulate();
        return Values{};
    };
    parameter.value.node = node;
}

Value Tape::use(Parameter& parameter) {
    if (!options.autocast || parameter.value.dtype == options.lower) return parameter.value;
    if (!parameter.trainable) return to(*this, parameter.value, options.lower);   // only leaves that require a gradient are cached
    if (!parameter.cast.defined()) {
        parameter.cast = to(*this, parameter.value, options.lower);
        cast_.push_back(&parameter);
    }
    return parameter.cast;
}

void Tape::end_autocast() {
    for (; !cast_.empty(); cast_.pop_back()) cast_.back()->cast = {};
    last_lowered_ = {};
}

Value Tape::lower(const Value& value) {
    if (!options.autocast) return value;
    if (!options.compiled) return to(*this, value, options.lower);
    if (!last_lowered_.defined() || value.tensor != last_source_) {
        last_source_ = value.tensor;
        last_lowered_ = to(*this, value, options.lower);
    }
    return last_lowered_;
}

}  // namespace zerosim::strategy::torch
