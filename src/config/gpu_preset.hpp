// Which preset of a cluster is of a GPU, by the name that its driver gives it.
// Called by config/resolve for a run on a GPU, and by `calibrate --device cuda`.
// Asks no driver and reads no file.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace zerosim::config {

/// The preset of a device called `name` ("NVIDIA H200"): the one whose first word is a word of it, SXM unless the name says PCIe or NVL.
[[nodiscard]] std::optional<std::string> preset_of_gpu(const std::string& name, const std::vector<std::string>& presets);

}  // namespace zerosim::config
