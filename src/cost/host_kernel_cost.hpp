// Kernels on a CPU core by their shape: what of a kernel takes time (elements, rows, products), and how long where that was measured.
// Called by kernel_seconds and op_seconds on CPU clusters; by `zerosim calibrate`, which measures the paces.
// Does not know threads: seconds of one core.
#pragma once

#include "cluster/cluster.hpp"
#include "kernel/kernel.hpp"

#include <optional>

namespace zerosim::cost {

/// seconds = matrix_flops / rate of products + elements * pace + rows * pace.
struct HostWork {
    cluster::HostKernel kernel{};
    double matrix_flops = 0; // as the blocked kernels do them: whole tiles of attention
    double elements = 0, rows = 0;
};

/// None for kernels that memory alone decides.
[[nodiscard]] std::optional<HostWork> host_work(kernel::Kernel kernel, const kernel::Attributes& attributes);

/// Seconds of one core, without launch and memory; none where the kernel's pace was not measured.
[[nodiscard]] std::optional<double> host_seconds(const HostWork& work, DType type, const cluster::DeviceSpec& device);

/// Of a core's streaming kernels over operands of `bytes` together.
[[nodiscard]] double host_streaming_rate(double bytes, const cluster::DeviceSpec& device);

} // namespace zerosim::cost
