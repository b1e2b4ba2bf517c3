#include "exec/runnable.hpp"

#include <algorithm>

namespace zerosim::exec {
namespace {

using kernel::Kernel;

bool has_kernel(const schedule::Program& program, const schedule::Op& op) {
    if (op.kernel == Kernel::batched_product) return false;
    if (op.kernel == Kernel::elementwise) return program.attributes_of(op).operation != kernel::EagerOperation::unspecified;
    // Multi-tensor kernels work on floats: 8-bit states are planned only.
    return !kernel::is_multi_tensor(op.kernel) ||
           std::ranges::none_of(program.operands_of(op), [&](TensorId id) { return id.valid() && program.tensor(id).dtype == DType::uint8; });
}

}  // namespace

std::size_t first_op(const schedule::Schedule& schedule, const schedule::Program& program) {
    std::size_t ops = 0;
    for (const schedule::Program& other : schedule.programs) {
        if (&other == &program) break;
        ops += other.ops.size();
    }
    return ops;
}

OpId first_without_kernel(const schedule::Program& program) {
    for (std::size_t i = 0; i < program.ops.size(); ++i) {
        const schedule::Op& op = program.ops[i];
        const bool computes = op.kind == schedule::OpKind::compute || op.kind == schedule::OpKind::optimizer || op.kind == schedule::OpKind::host_compute;
        if (computes && !has_kernel(program, op)) return OpId{i};
    }
    return {};
}

}  // namespace zerosim::exec
