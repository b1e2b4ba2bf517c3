// Whether the links of a run on CPU ranks were those that its cluster was calibrated with: what one reference all-gather took.
// Filled by cli/ with what the ranks measured, part of RunReport; its line is shown by report/ and compare.
// Does not measure, and changes no prediction.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace zerosim::analysis {

struct LinksReport {
    std::int64_t reference_bytes = 0;   // of the all-gather's message
    double before = 0, after = 0;       // seconds: before the ranks' first step and after their last
    double calibrated = 0;              // of the cluster's calibration with as many ranks; 0 = it has none
};

/// "links: a reference all-gather ... took 14.0 us before the steps and 15.1 us after them, 27.0 us when 'local' was calibrated: collectives are
/// predicted up to 1.9 times too long"; "" where both are within 15 % of the calibrated one, or nothing is known.
[[nodiscard]] std::string links_line(const LinksReport& links, std::string_view cluster);

}  // namespace zerosim::analysis
