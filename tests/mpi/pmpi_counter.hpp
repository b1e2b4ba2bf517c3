// Counts what this process hands to MPI: link pmpi_counter.cpp into a test, and every collective of the data path goes through
// it. Compare `traffic()` with the calls issued through Communicators: `expected_traffic`.
#pragma once

#include "base/collective.hpp"
#include "base/dtype.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace zerosim::tests {

/// Bytes by what they are for. A reduction of the own kind is MPI_Ialltoallv of segments (the rank's own part stays where it is
/// and is not passed; it is as long as what every peer sends, and counted), an all-reduce gathers the sums with MPI_Iallgatherv.
struct MpiTraffic {
    std::int64_t all_gather = 0; // MPI_Iallgather: n * count
    std::int64_t scatter = 0;    // MPI_Ialltoallv: the message of a reduction, own part included
    std::int64_t collect = 0;    // MPI_Iallgatherv: the message of an all-reduce, once more; MPI_Igatherv: the own part of a reduce
    std::int64_t all_to_all = 0; // MPI_Ialltoall: n * count
    std::int64_t broadcast = 0;  // MPI_Ibcast: count
    std::int64_t rooted = 0;     // MPI_Igather, MPI_Iscatter: the whole on the root, count elsewhere
    std::int64_t messages = 0;   // MPI_Isend
    std::int64_t library = 0;    // MPI_Iallreduce, MPI_Ireduce_scatter_block, MPI_Ireduce
    std::int64_t sent = 0;       // to other ranks, over all of them but broadcast and library
    friend bool operator==(const MpiTraffic&, const MpiTraffic&) = default;
    MpiTraffic& operator+=(const MpiTraffic& other);
};

/// Since the last reset, on this process.
[[nodiscard]] MpiTraffic traffic();
void reset_traffic();

/// What one collective of `count` elements on rank `rank` of `ranks` must hand to MPI, from its message bytes alone. Rank 0 is the root.
[[nodiscard]] MpiTraffic expected_traffic(CollectiveKind kind, std::int64_t count, DType dtype, int rank, int ranks);
[[nodiscard]] std::string describe(const MpiTraffic& traffic);

} // namespace zerosim::tests
