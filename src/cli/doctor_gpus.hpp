// The GPUs of this machine as `doctor` tells of them: what they are, how they reach each other, and what will hurt.
// Called by command_doctor.
// Starts nothing on a device.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace zerosim::cli {

struct GpuFindings {
    std::vector<std::pair<std::string, std::string>> facts;
    std::vector<std::string> missing;      // and what will hurt
};
[[nodiscard]] GpuFindings examine_gpus();

}  // namespace zerosim::cli
