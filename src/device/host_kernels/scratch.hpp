// Scratch: carves one thread's slot of a kernel's workspace operand into fp32 buffers.
// Used by the linear and attention kernels; the sizes are those of kernel/host_blocking.hpp.
// Does not own memory; a workspace that is too small is a BugError, never an overrun.
#pragma once

#include "base/error.hpp"
#include "device/device.hpp"

#include <cstdint>

namespace zerosim::device::host {

class Scratch {
public:
    /// Slot `slot` of `slot_floats` fp32 elements.
    Scratch(const TensorView& workspace, std::int64_t slot, std::int64_t slot_floats)
        : next_(workspace.as<float>() + slot * slot_floats), left_(slot_floats) {}

    [[nodiscard]] float* take(std::int64_t count) {
        check(count <= left_, "Scratch: the slot is smaller than the kernel's tiles");
        left_ -= count;
        float* result = next_;
        next_ += count;
        return result;
    }

private:
    float* next_;
    std::int64_t left_;
};

/// Checks before any thread starts that `slots` slots fit the operand.
inline void check_workspace(const TensorView& workspace, std::int64_t slots, std::int64_t slot_floats) {
    if (slots * slot_floats == 0) return;
    check(workspace.data != nullptr, "host kernel: the workspace operand is missing (size: kernel::workspace_bytes)");
    check(workspace.elements() * size_of(workspace.dtype) >= slots * slot_floats * size_of(DType::fp32),
          "host kernel: the workspace operand is too small (size: kernel::workspace_bytes)");
}

} // namespace zerosim::device::host
