// Which op stands before an op on its stream, within one step.
// Used by waiting.cpp and critical_path.cpp.
// Knows no times.
#pragma once

#include "analysis/step_times.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::analysis {

/// By op - first_op: the op before it on its stream, as op - first_op; -1 = none in this step.
[[nodiscard]] inline std::vector<std::int32_t> before_on_stream(const StepTimes& step) {
    std::vector<std::int32_t> before(step.last_op - step.first_op, -1), last(step.program->streams.size(), -1);
    for (std::size_t i = 0; i < before.size(); ++i) {
        const schedule::Op& op = step.program->ops[step.first_op + i];
        if (!op.stream.valid()) continue;
        before[i] = last[op.stream.index()];
        last[op.stream.index()] = static_cast<std::int32_t>(i);
    }
    return before;
}

/// Ops whose own time is the host's: they pass on what they depend on.
[[nodiscard]] constexpr bool bookkeeping(schedule::OpKind kind) {
    using enum schedule::OpKind;
    return kind == alloc || kind == free || kind == host_wait || kind == mark;
}

}  // namespace zerosim::analysis
