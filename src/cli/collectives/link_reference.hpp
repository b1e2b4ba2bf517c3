// One all-gather of 64 KiB, by which the state of the links is told: where a hypervisor moves cores between caches, or a fabric is busy, all
// messages take 1.6 to 2 times as long for a while.
// Measured by `calibrate` beside every time, and by `run` before its first step and after its last.
// Does not judge: cli/calibrate's steady_links() and analysis/links_report do.
#pragma once

#include "cli/collectives/collective_benchmark.hpp"

namespace zerosim::cli {

inline constexpr CollectiveCase kLinkReference{CollectiveKind::all_gather, DType::fp32, 1 << 16, 20};

/// Its median, in seconds. Called on every rank; the result is the same on all.
[[nodiscard]] double link_reference_seconds(TeamRank& rank);

/// In seconds, before the first step of a run and after its last.
struct LinkTimes {
    double before = 0, after = 0;
};

} // namespace zerosim::cli
