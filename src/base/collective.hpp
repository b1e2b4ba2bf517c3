// The kinds of collectives and what a ring sends for each: shared by schedule/, comm/, cost/ and reports.
// Definitions of message and sent bytes: docs/metrics.md; factors as in nccl-tests doc/PERFORMANCE.md.
// Does not communicate.
#pragma once

#include <cstdint>
#include <string_view>

namespace zerosim {

enum class CollectiveKind : std::uint8_t { all_reduce, all_gather, reduce_scatter, broadcast, all_to_all };
/// average: the sum in rank order, times 1 / ranks before it is rounded (NCCL's ncclAvg; floats only).
enum class Reduction : std::uint8_t { none, sum, average };

[[nodiscard]] constexpr std::string_view name(CollectiveKind kind) {
    switch (kind) {
        case CollectiveKind::all_reduce: return "all-reduce";
        case CollectiveKind::all_gather: return "all-gather";
        case CollectiveKind::reduce_scatter: return "reduce-scatter";
        case CollectiveKind::broadcast: return "broadcast";
        case CollectiveKind::all_to_all: return "all-to-all";
    }
    return "?";
}

/// Bytes a rank sends per message byte (count * dtype size of the larger buffer) on a ring of n ranks.
[[nodiscard]] constexpr double ring_factor(CollectiveKind kind, std::int64_t n) {
    if (n <= 1) return 0.0;
    const double share = static_cast<double>(n - 1) / static_cast<double>(n);
    switch (kind) {
        case CollectiveKind::all_reduce: return 2.0 * share;
        case CollectiveKind::all_gather:
        case CollectiveKind::reduce_scatter:
        case CollectiveKind::all_to_all: return share;
        case CollectiveKind::broadcast: return 1.0;
    }
    return 0.0;
}

/// A reduction among host ranks moves and sums this much of each rank's slice at a time, two segments in flight, so that what
/// arrives is summed while it is in cache. Measured on two cores with 2 MiB of second-level cache, 16 and 64 MiB, 2 and 4 ranks:
/// 256 KiB takes 20 to 30 % less than the whole slice at once, 64 KiB no less than the whole, 512 KiB the same as 256.
inline constexpr std::int64_t kReductionSegmentBytes = 256 * 1024;
/// An all-reduce of at most this many bytes over all ranks is gathered whole and summed by every rank: one exchange instead of two.
inline constexpr std::int64_t kGatheredReductionBytes = 16 * 1024;

/// Bytes of room a host rank needs beside the data for its peers' slices. `count` = elements each rank receives (reduce-scatter) or
/// has (all-reduce). 0 for one rank, for non-reductions and for small all-reduces.
[[nodiscard]] constexpr std::int64_t host_reduction_scratch_bytes(CollectiveKind kind, std::int64_t count, std::int64_t element_bytes, std::int64_t n) {
    const bool all_reduce = kind == CollectiveKind::all_reduce;
    if (n <= 1 || (!all_reduce && kind != CollectiveKind::reduce_scatter)) return 0;
    if (all_reduce && n * count * element_bytes <= kGatheredReductionBytes) return 0;
    const std::int64_t slice = (all_reduce ? (count + n - 1) / n : count) * element_bytes;
    return (n - 1) * (slice < 2 * kReductionSegmentBytes ? slice : 2 * kReductionSegmentBytes);
}

}  // namespace zerosim
