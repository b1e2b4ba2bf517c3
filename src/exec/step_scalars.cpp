#include "exec/step_scalars.hpp"

namespace zerosim::exec {

StepScalars::StepScalars(const schedule::Program& program) {
    for (const schedule::Op& op : program.ops) {
        if (op.kind != schedule::OpKind::compute) continue;
        const auto operands = program.operands_of(op);
        if (op.kernel == kernel::Kernel::cross_entropy_forward) loss_ = operands[3];
        if (op.kernel == kernel::Kernel::gradient_scale) {
            norm_ = operands[3];
            skip_ = operands[5];
        }
    }
}

void StepScalars::read(device::Device& device, const RankMemory& memory, StepResult& result) const {
    float skip = 0;
    if (loss_.valid()) device.download(memory.view(loss_).data, &result.loss, sizeof(double));
    if (norm_.valid()) device.download(memory.view(norm_).data, &result.gradient_norm, sizeof(double));
    if (skip_.valid()) device.download(memory.view(skip_).data, &skip, sizeof(float));
    result.skipped = skip != 0;
}

}  // namespace zerosim::exec
