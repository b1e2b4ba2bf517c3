// The kinds of collectives and what a ring sends for each: shared by schedule/, comm/, cost/ and reports.
// Definitions of message and sent bytes: docs/metrics.md; factors as in nccl-tests doc/PERFORMANCE.md.
// Does not communicate.
#pragma once

#include <cstdint>
#include <string_view>

namespace zerosim {

enum class CollectiveKind : std::uint8_t { all_reduce, all_gather, reduce_scatter, broadcast, all_to_all };
enum class Reduction : std::uint8_t { none, sum };

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

/// Host ranks (MPI, threads) receive their peers' slices beside the data and add them themselves: bytes of that room.
/// `count` = elements each rank receives (reduce-scatter) or has (all-reduce). 0 for one rank and for non-reductions.
[[nodiscard]] constexpr std::int64_t host_reduction_scratch_bytes(CollectiveKind kind, std::int64_t count, std::int64_t element_bytes, std::int64_t n) {
    if (n <= 1) return 0;
    if (kind == CollectiveKind::all_reduce) return (count + n - 1) / n * n * element_bytes;
    return kind == CollectiveKind::reduce_scatter ? n * count * element_bytes : 0;
}

}  // namespace zerosim
