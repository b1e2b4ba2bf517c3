// What `calibrate --device cuda` prints and writes beside the numbers: table, JSON, the comment of the cluster file.
// Called by gpu_calibrate.
// Measures and fits nothing.
#pragma once

#include "cli/calibrate/gpu_fit.hpp"
#include "device/gpu.hpp"

#include <string>

namespace zerosim::cli {

struct GpuCalibrationText {
    device::GpuInfo gpu;
    std::string base, file, date;
    int batches = 0;
    cluster::DeviceSpec preset;                   // its peaks: what products are held against
};
/// What part of what bounds it the kernel reaches: products and attention of the peak of their dtype, the others of the device's copy bandwidth. 0: unknown.
[[nodiscard]] double share_of_roof(const GpuKernelSample& sample, const cluster::DeviceSpec& preset, double copy_bytes_per_second);

[[nodiscard]] std::string calibration_table(const GpuCalibrationText& text, const GpuMeasurement& measured, const cluster::Cluster& cluster, const GpuFitQuality& quality);
[[nodiscard]] std::string calibration_json(const GpuCalibrationText& text, const GpuMeasurement& measured, const cluster::Cluster& cluster, const GpuFitQuality& quality);
[[nodiscard]] std::string provenance(const GpuCalibrationText& text, const GpuMeasurement& measured, const GpuFitQuality& quality);

}  // namespace zerosim::cli
