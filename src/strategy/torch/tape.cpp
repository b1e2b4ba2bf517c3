#include "strategy/torch/tape.hpp"

#include "strategy/torch/operations.hpp"

namespace zerosim::strategy::torch {
namespace {

// at::cuda::getChosenWorkspaceSize on Hopper: 4096 * 8 KiB (ATen/cuda/CUDABlas workspace defaults).
constexpr std::int64_t kCublasWorkspace = 32 << 20;
// cuBLASLt of addmm with a bias epilogue: 1 MiB apart from it (measured, PyTorch 2.11; docs/accuracy.md).
constexpr std::int64_t kCublasLtWorkspace = 1 << 20;

}  // namespace

Tape::Tape(Memory& memory_in, const TapeOptions& options_in)
    : memory(memory_in), program(memory_in.program()), engine(memory_in, [this](const Value& a, const Value& b) { return sum_of(*this, a, b); }),
      options(options_in) {
    engine.after_recompute = [this] { end_autocast(); };
}

TensorId Tape::view(std::string_view name, StorageId storage, DType dtype, std::int64_t rows, std::int64_t columns) {
    return columns == 1 ? program.tensor(name, storage, dtype, 1, rows) : program.tensor(name, storage, dtype, rows, columns);
}

Value Tape::make(std::string_view name, std::int64_t rows, std::int64_t columns, DType dtype, schedule::Role role) {
    Value value;
    value.dtype = dtype;
    value.rows = rows;
    value.columns = columns;
    value.buffer = memory.allocate(name, value.bytes(), options.pool, role);
    value.tensor = view(name, value.buffer.storage(), dtype, rows, columns);
    return value;
}

Value Tape::make(std::string_view name, std::int64_t rows, std::int64_t columns, DType dtype) {
    return make(name, rows, columns, dtype,
                engine.recomputing()   ? schedule::Role::recomputed_activation
                : engine.in_backward() ? schedule::Role::activation_gradient
                                       : schedule::Role::activation);
}

Buffer Tape::scratch(std::string_view name, std::int64_t bytes) { return memory.allocate(name, bytes, options.pool, schedule::Role::workspace); }

void Tape::emit(kernel::Kernel kernel, std::string_view name, std::initializer_list<TensorId> operands, const kernel::Attributes& attributes) {
    program.compute(options.stream, name, kernel, {operands.begin(), operands.size()}, attributes);
}

void Tape::elementwise(std::string_view name, std::initializer_list<TensorId> sources, const Value& out, int flops) {
    std::array<TensorId, 4> operands{};
    std::size_t count = 0;
    for (const TensorId source : sources) operands.at(count++) = source;
    operands[3] = out.tensor;
    kernel::Attributes a;
    a.tokens = out.columns == 1 ? 1 : out.rows;
    a.out = out.columns == 1 ? out.rows : out.columns;
    a.in = flops;
    program.compute(options.stream, name, kernel::Kernel::elementwise, operands, a);
}

void Tape::cast(const Value& from, const Value& to) { program.copy(options.stream, from.tensor, to.tensor); }

void Tape::gemm_workspace(bool bias_epilogue) {
    const std::size_t thread = engine.in_backward() ? 1 : 0;
    if (!workspaces_[thread].valid()) workspaces_[thread] = scratch("cublas_workspace", kCublasWorkspace);
    if (bias_epilogue && !lt_workspaces_[thread].valid()) lt_workspaces_[thread] = scratch("cublaslt_workspace", kCublasLtWorkspace);
}

void Tape::require_gradient(Parameter& parameter) {
    if (!parameter.trainable) return;
    auto node = std::make_shared<Node>();
    node->sequence = ~std::uint64_t{0};   // [AccumulateGrad]: runs before all others
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
    if (!options.autocast || parameter.value.dtype == DType::bf16) return parameter.value;
    if (!parameter.trainable) return to(*this, parameter.value, DType::bf16);   // only leaves that require a gradient are cached
    const auto found = casts_.find(&parameter);
    if (found != casts_.end()) return found->second;
    return casts_.emplace(&parameter, to(*this, parameter.value, DType::bf16)).first->second;
}

Value Tape::lower(const Value& value) { return options.autocast ? to(*this, value, DType::bf16) : value; }

}  // namespace zerosim::strategy::torch
