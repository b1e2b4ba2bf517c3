// The tables and the JSON of `calibrate`: every time with its spread, what was fitted, and how near the model comes.
// Called by command_calibrate.
// Pure: the caller prints.
#pragma once

#include "cli/calibrate/calibrate_machine.hpp"

#include <string>

namespace zerosim::cli {

[[nodiscard]] std::string kernel_table(const Measurement& measurement);
[[nodiscard]] std::string collective_table(const Measurement& measurement, const cluster::Cluster& cluster);
[[nodiscard]] std::string fit_table(const Measurement& measurement, const Fitted& fit);
/// `file`: where the cluster was stored.
[[nodiscard]] std::string json_text(const Measurement& measurement, const Fitted& fit, const std::string& file);

} // namespace zerosim::cli
