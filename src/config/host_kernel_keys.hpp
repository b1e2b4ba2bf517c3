// The section [kernel] of a cluster file <-> HostKernels: the measured paces of a CPU core's kernels.
// Called by cluster_file.
// Does not read files; the numbers were checked before.
#pragma once

#include "cluster/host_kernels.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace zerosim::config {

/// kernel.NAME-picoseconds (an element), kernel.NAME-row-nanoseconds; NAME-bf16: operands of 2 bytes.
[[nodiscard]] std::vector<std::string> host_kernel_keys();
/// False when the key is none of them.
bool set_host_kernel(cluster::HostKernels& kernels, std::string_view key, double value);
/// Lines of what was measured, without the section's head.
[[nodiscard]] std::string host_kernel_text(const cluster::HostKernels& kernels);

} // namespace zerosim::config
