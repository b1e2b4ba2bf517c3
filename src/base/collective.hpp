// The kinds of collectives and what a ring sends for each: shared by schedule/, comm/, cost/ and reports.
// Definitions of message and sent bytes: docs/metrics.md; factors as in nccl-tests doc/PERFORMANCE.md.
// Does not communicate.
#pragma once

#include <cstdint>
#include <string_view>

namespace zerosim {

/// The last four are in no schedule: benchmarks run them (nccl-tests' reduce, gather, scatter and sendrecv, a ring of sends to the next rank).
enum class CollectiveKind : std::uint8_t { all_reduce, all_gather, reduce_scatter, broadcast, all_to_all, reduce, gather, scatter, send_recv };
inline constexpr CollectiveKind kCollectiveKinds[] = {CollectiveKind::all_reduce, CollectiveKind::all_gather, CollectiveKind::reduce_scatter,
                                                      CollectiveKind::broadcast,  CollectiveKind::all_to_all, CollectiveKind::reduce,
                                                      CollectiveKind::gather,     CollectiveKind::scatter,    CollectiveKind::send_recv};
/// average: the sum in rank order, times 1 / ranks before it is rounded (NCCL's ncclAvg; floats only).
enum class Reduction : std::uint8_t { none, sum, average };

[[nodiscard]] constexpr std::string_view name(CollectiveKind kind) {
    switch (kind) {
        case CollectiveKind::all_reduce: return "all-reduce";
        case CollectiveKind::all_gather: return "all-gather";
        case CollectiveKind::reduce_scatter: return "reduce-scatter";
        case CollectiveKind::broadcast: return "broadcast";
        case CollectiveKind::all_to_all: return "all-to-all";
        case CollectiveKind::reduce: return "reduce";
        case CollectiveKind::gather: return "gather";
        case CollectiveKind::scatter: return "scatter";
        case CollectiveKind::send_recv: return "send-recv";
    }
    return "?";
}

[[nodiscard]] constexpr bool is_reduction(CollectiveKind kind) {
    return kind == CollectiveKind::all_reduce || kind == CollectiveKind::reduce_scatter || kind == CollectiveKind::reduce;
}
/// One rank is sent to or from.
[[nodiscard]] constexpr bool has_root(CollectiveKind kind) {
    return kind == CollectiveKind::broadcast || kind == CollectiveKind::reduce || kind == CollectiveKind::gather || kind == CollectiveKind::scatter;
}
/// The larger buffer, whose bytes are the message's, holds a part of every rank; otherwise a message is what a rank has.
[[nodiscard]] constexpr bool has_parts(CollectiveKind kind) {
    return kind == CollectiveKind::all_gather || kind == CollectiveKind::reduce_scatter || kind == CollectiveKind::all_to_all ||
           kind == CollectiveKind::gather || kind == CollectiveKind::scatter;
}

/// Bytes a rank sends per message byte (count * dtype size of the larger buffer) on a ring of n ranks; gather and scatter: what the root
/// receives or sends (nccl-tests' bus bandwidth).
[[nodiscard]] constexpr double ring_factor(CollectiveKind kind, std::int64_t n) {
    if (n <= 1) return 0.0;
    const double share = static_cast<double>(n - 1) / static_cast<double>(n);
    switch (kind) {
        case CollectiveKind::all_reduce: return 2.0 * share;
        case CollectiveKind::all_gather:
        case CollectiveKind::reduce_scatter:
        case CollectiveKind::all_to_all:
        case CollectiveKind::gather:
        case CollectiveKind::scatter: return share;
        case CollectiveKind::broadcast:
        case CollectiveKind::reduce:
        case CollectiveKind::send_recv: return 1.0;
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
/// has (all-reduce, reduce). 0 for one rank, for non-reductions and for small all-reduces and reduces.
[[nodiscard]] constexpr std::int64_t host_reduction_scratch_bytes(CollectiveKind kind, std::int64_t count, std::int64_t element_bytes, std::int64_t n) {
    if (n <= 1 || !is_reduction(kind)) return 0;
    const bool whole = kind != CollectiveKind::reduce_scatter;
    if (whole && n * count * element_bytes <= kGatheredReductionBytes) return 0;
    const std::int64_t slice = (whole ? (count + n - 1) / n : count) * element_bytes;
    return (n - 1) * (slice < 2 * kReductionSegmentBytes ? slice : 2 * kReductionSegmentBytes);
}

}  // namespace zerosim
