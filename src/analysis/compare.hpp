// Reports beside each other, quantity by quantity, with the largest relative difference to the first.
// Called by `zerosim compare`, for results and for strategies alike.
// Does not join op by op: scenarios may have different schedules (see gap.hpp for one schedule).
#pragma once

#include "analysis/run_report.hpp"

#include <span>
#include <string>
#include <vector>

namespace zerosim::analysis {

enum class Quantity : std::uint8_t { bytes, seconds, count, tokens_per_second, ratio };

struct ComparedValue {
    std::string section, name;     // "memory after step", "gradient"
    Quantity quantity{};
    std::vector<double> values;    // one per report; 0 where a report has none (no such collective)
    /// Largest |value - first| / max(|value|, |first|); 0 when all are 0.
    [[nodiscard]] double difference() const;
};
/// Rows in which any report has something.
[[nodiscard]] std::vector<ComparedValue> compare(std::span<const RunReport> reports);

/// Keys of the scenario whose values are not the same in all reports.
struct ComparedKey {
    std::string key;
    std::vector<std::string> values;
};
[[nodiscard]] std::vector<ComparedKey> differing_keys(std::span<const RunReport> reports);

/// What a reader must know of the rows: utilizations of different peaks (fp8 beside bf16), with each report's of its 16-bit peak; runs whose links
/// were not those of the calibration.
[[nodiscard]] std::vector<std::string> comparison_notes(std::span<const std::string> labels, std::span<const RunReport> reports);

}  // namespace zerosim::analysis
