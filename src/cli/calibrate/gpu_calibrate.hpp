// `zerosim calibrate --device cuda`: measures the GPUs that the ranks have, fits a cluster of such GPUs to it and stores the file.
// Called by command_calibrate.
// Measures no CPU: that is command_calibrate's own.
#pragma once

#include "cli/calibrate/gpu_fit.hpp"
#include "cli/collectives/rank_team.hpp"
#include "config/search_paths.hpp"
#include "device/gpu.hpp"

#include <filesystem>
#include <string>

namespace zerosim::cli {

struct GpuCalibration {
    std::string base;                     // the preset that holds what is not measured; empty = by the device's name
    int batches = 5;
    bool share = false;
    double timeout_seconds = 120;
    std::filesystem::path file;
    bool json = false;
};

/// Returns what is to be printed, on rank 0; the others return "".
[[nodiscard]] std::string calibrate_gpus(RankTeam& team, const GpuCalibration& asked, const config::SearchPaths& paths);

}  // namespace zerosim::cli
