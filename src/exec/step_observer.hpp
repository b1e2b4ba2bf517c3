// StepObserver: loss and gradient norm of programs that report neither (eager frameworks keep each rank's loss to itself).
// Asked by the interpreter before and after each kernel; what ranks see alone is put together by combine_steps.
// Host memory only. Changes nothing that is computed.
#pragma once

#include "device/device.hpp"
#include "exec/execute.hpp"

#include <span>

namespace zerosim::exec {

class StepObserver {
public:
    StepObserver(const schedule::Schedule& schedule, const schedule::Program& program, std::int64_t rank);
    /// The program has kernels of this kind.
    [[nodiscard]] bool active() const { return active_; }
    /// True if it took time to look.
    bool before(const schedule::Op& op, int step, std::span<const device::TensorView> operands);
    void after(const schedule::Op& op, int step, std::span<const device::TensorView> operands);
    [[nodiscard]] StepResult result(StepResult result) const;

private:
    void begin(int step);
    void add_gradients(const schedule::Op& op, std::size_t group, std::size_t gradient, std::span<const device::TensorView> operands);
    [[nodiscard]] bool first_holder(const schedule::ShardRange& range) const;

    const schedule::Schedule& schedule_;
    const schedule::Program& program_;
    std::int64_t rank_;
    bool active_ = false, clips_ = false;
    int step_ = 0;
    double loss_ = 0, tokens_ = 0, squares_ = 0;   // loss: summed over tokens
    std::int64_t elements_ = 0, all_elements_ = 0;   // of gradients seen here; of all parameters that are trained
};

}  // namespace zerosim::exec
