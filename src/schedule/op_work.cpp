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
            return work;
        }
        case OpKind::copy: return {0, 0, copied_bytes(program, op)};
        case OpKind::fill:
        case OpKind::initialize: return {0, 0, operand_bytes(program, op)};
        default: return {};
    }
}

}  // namespace zerosim::schedule
