#include "schedule/op_work.hpp"

namespace zerosim::schedule {

double bytes_of(const Program& program, TensorId id) {
    if (!id.valid()) return 0;
    const Tensor& tensor = program.tensor(id);
    return static_cast<double>(tensor.elements() * size_of(tensor.dtype));
}

double operand_bytes(const Program& program, const Op& op) {
    double bytes = 0;
    for (const TensorId id : program.operands_of(op)) bytes += bytes_of(program, id);
    return bytes;
}

namespace {

/// A destination that is added into is read as well.
double copied_bytes(const Program& program, const Op& op) {
    double bytes = operand_bytes(program, op);
    const auto operands = program.operands_of(op);
    if (op.accumulate)
        for (std::size_t i = 1; i < operands.size(); i += 2) bytes += bytes_of(program, operands[i]);
    return bytes;
}

/// An update of many tensors reads and writes parameter and states, in their own dtypes, and reads the gradient. By the elements that are
/// this rank's: tensors that straddle shards are updated in part.
double update_bytes(const Program& program, const Op& op, std::size_t states) {
    const auto operands = program.operands_of(op);
    const std::size_t gradient = 1 + states, group = op.kernel == kernel::Kernel::adamw_tensors ? gradient + 2 : gradient + 1; // Adam's has a step
    double bytes = 0, elements = 0;
    for (std::size_t i = 0; i + group <= operands.size(); i += group) {
        if (!operands[i].valid()) continue;
        elements += static_cast<double>(program.tensor(operands[i]).elements());
        for (std::size_t k = 0; k <= gradient; ++k) bytes += (k == gradient ? 1 : 2) * bytes_of(program, operands[i + k]);
    }
    return elements > 0 ? bytes / elements * static_cast<double>(program.attributes_of(op).tokens) : 0;
}

}  // namespace

DType compute_dtype(const Program& program, const Op& op) {
    for (const TensorId id : program.operands_of(op)) {
        if (!id.valid()) continue;
        const DType type = program.tensor(id).dtype;
        if (type == DType::fp32 || type == DType::bf16 || type == DType::fp16) return type;
    }
    return DType::fp32;
}

kernel::Work op_work(const Program& program, const Op& op) {
    switch (op.kind) {
        case OpKind::compute:
        case OpKind::optimizer: {
            kernel::Work work = kernel::work(op.kernel, program.attributes_of(op), compute_dtype(program, op));
            if (op.kernel == kernel::Kernel::elementwise) work.bytes = operand_bytes(program, op);
            if (op.kernel == kernel::Kernel::adamw_tensors) work.bytes = update_bytes(program, op, 2);
            if (op.kernel == kernel::Kernel::sgd_tensors) work.bytes = update_bytes(program, op, 1);
            return work;
        }
        case OpKind::copy: return {0, 0, copied_bytes(program, op)};
        case OpKind::fill:
        case OpKind::initialize: return {0, 0, operand_bytes(program, op)};
        default: return {};
    }
}

}  // namespace zerosim::schedule
