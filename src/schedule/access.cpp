#include "schedule/access.hpp"

namespace zerosim::schedule {
namespace {

void of_kernel(const Program& program, const Op& op, std::vector<OperandAccess>& out) {
    const auto operands = program.operands_of(op);
    const auto& attributes = program.attributes_of(op);
    for (std::size_t i = 0; i < operands.size(); ++i) {
        if (!operands[i].valid()) continue;
        const auto access = kernel::access(op.kernel, i, attributes);
        out.push_back({operands[i], access != kernel::Access::write, access != kernel::Access::read});
    }
}

}  // namespace

void accesses(const Program& program, const Op& op, std::vector<OperandAccess>& out) {
    out.clear();
    const auto operands = program.operands_of(op);
    switch (op.kind) {
        case OpKind::fill:
            for (const TensorId tensor : operands) out.push_back({tensor, false, true});
            break;
        case OpKind::copy:
            for (std::size_t i = 0; i + 1 < operands.size(); i += 2) {
                out.push_back({operands[i], true, false});
                out.push_back({operands[i + 1], op.accumulate, true});
            }
            break;
        case OpKind::input:
        case OpKind::initialize:
            for (const TensorId tensor : operands)
                if (tensor.valid()) out.push_back({tensor, false, true});
            break;
        case OpKind::compute:
        case OpKind::host_compute:
        case OpKind::optimizer: of_kernel(program, op, out); break;
        case OpKind::collective: {
            const Collective& c = program.collective_of(op);
            out.push_back({c.send, true, false});
            out.push_back({c.receive, false, true});
            if (c.scratch.valid()) out.push_back({c.scratch, false, true});
            break;
        }
        default: break;
    }
}

}  // namespace zerosim::schedule
