// What a GPU is to compilers and libraries: the architecture they compile for, and what they read of it when they choose a kernel.
// Called by config/ (device.architecture of a cluster file), cost/ and strategy/torch.
// Knows no rates, which are the device's, and no library's choices, which are made where they are planned.
#pragma once

#include "cluster/cluster.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zerosim::cluster {

struct Architecture {
    std::string_view name;                       // "sm_90", "gfx942"
    int capability = 0;                          // CUDA's compute capability times ten: 90; 0 = AMD
    std::int64_t multiprocessors = 0;            // of the product in the table: where a cluster file says none
    std::int64_t threads_per_multiprocessor = 0; // resident
};

/// Of device.architecture, else of device.generation; null = unknown.
[[nodiscard]] const Architecture* architecture(const DeviceSpec& device);
/// Throws ConfigError for a name that is not known.
void set_architecture(DeviceSpec& device, std::string_view name);
[[nodiscard]] std::vector<std::string> architecture_names();

} // namespace zerosim::cluster
