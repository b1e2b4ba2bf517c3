// What a generation of GPUs does with a kernel's shape: GEMM tiles and waves, attention by length. Fitted on published sweeps.
// Called by config/ for `device.generation` of a cluster file.
// Knows no peak rates: those are the device's.
#pragma once

#include "cluster/cluster.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace zerosim::cluster {

/// Sets generation, gemm, attention, gemm_efficiency and attention_efficiency. Throws ConfigError for an unknown name.
void set_generation(DeviceSpec& device, std::string_view name);
[[nodiscard]] std::vector<std::string> generation_names();

} // namespace zerosim::cluster
