#include "exec/numerics.hpp"

#include "base/error.hpp"
#include "schedule/access.hpp"
#include "schedule/dump.hpp"

#include <fmt/format.h>

#include <cmath>

namespace zerosim::exec {
namespace {

double element(const device::TensorView& view, std::int64_t at) {
    switch (view.dtype) {
        case DType::fp32: return view.as<const float>()[at];
        case DType::fp64: return view.as<const double>()[at];
        case DType::bf16: return bf16_to_float(view.as<const std::uint16_t>()[at]);
        case DType::fp16: return fp16_to_float(view.as<const std::uint16_t>()[at]);
        default: return 0;
    }
}

/// Index (row * columns + column) of the first element that is not finite, or -1.
std::int64_t first_not_finite(const device::TensorView& view) {
    for (std::int64_t row = 0; row < view.rows; ++row)
        for (std::int64_t column = 0; column < view.columns; ++column)
            if (!std::isfinite(element(view, row * view.row_stride + column))) return row * view.columns + column;
    return -1;
}

}  // namespace

void check_outputs(const schedule::Schedule& schedule, const schedule::Program& program, const RankMemory& memory, OpId id, int step) {
    const schedule::Op& op = program.op(id);
    // The squared norm is where fp16 overflows are found and skipped: not an error there.
    if (kernel::kernel_class(op.kernel) == kernel::KernelClass::scalar || op.kernel == kernel::Kernel::squared_norm) return;
    std::vector<schedule::OperandAccess> accesses;
    schedule::accesses(program, op, accesses);
    for (const auto& access : accesses) {
        if (!access.writes || program.tensor(access.tensor).role == schedule::Role::workspace) continue;
        const std::int64_t at = first_not_finite(memory.view(access.tensor));
        if (at >= 0)
            throw VerificationError(fmt::format("step {}, op {} ({}) wrote a number that is not finite: element {} of {}", step, id.value,
                                                schedule::describe(schedule, program, id), at, schedule::describe(schedule, program, access.tensor)));
    }
}

}  // namespace zerosim::exec
