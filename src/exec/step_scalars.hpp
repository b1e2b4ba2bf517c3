// The scalars that a step reports: loss, gradient norm and whether it was skipped, as operands of the kernels that make them.
// Found and read by both interpreters. Programs of eager frameworks have none: see step_observer.
// Sums nothing over ranks.
#pragma once

#include "exec/execute.hpp"
#include "exec/rank_memory.hpp"

namespace zerosim::exec {

class StepScalars {
public:
    explicit StepScalars(const schedule::Program& program);
    /// Once the step is done.
    void read(device::Device& device, const RankMemory& memory, StepResult& result) const;

private:
    TensorId loss_, norm_, skip_;
};

}  // namespace zerosim::exec
