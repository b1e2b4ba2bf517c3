// Trace: when each op of each step began and ended on one rank; all else is joined from the Schedule.
// Written by exec/ (real clock) and sim/ (virtual clock); read by analysis/ and report/.
// Holds no names, sizes or tags.
#pragma once

#include "base/ids.hpp"

#include <cstdint>
#include <vector>

namespace zerosim::trace {

/// Nanoseconds on the rank's clock; TimeBase says how it maps to the common one.
struct OpTime {
    std::int32_t step = 0;        // 0 = init
    std::uint32_t op = 0;         // position in the program
    std::int64_t issue = 0;       // host began to issue it
    std::int64_t begin = 0;       // it could run: stream free, deps done (collectives: started)
    std::int64_t end = 0;
    std::int64_t live_bytes = -1; // handed out after issue (exec) or predicted (sim); -1 = unchanged op
};

struct RankTrace {
    std::int64_t rank = 0;
    std::int64_t clock_offset = 0;     // add to this rank's times to get rank 0's
    std::vector<OpTime> times;         // in issue order
    std::int64_t count = 1;            // simulated: ranks that share this clock
    /// Of the rows that are collectives, in order: when the last member had come. Empty = as the ranks of the trace tell.
    std::vector<std::int64_t> last_arrivals{};
};

/// One rank of a simulation that keeps a clock for every rank, over its last step. Waiting is for peers in collectives, exposed or not.
struct RankStatistics {
    std::int64_t rank = 0;
    std::int64_t busy = 0;             // kernels
    std::int64_t waited = 0;           // for peers that came later
    std::int64_t caused = 0;           // mean wait of the peers where this rank came last
    std::int64_t last = 0;             // collectives to which it came last
};

struct Trace {
    bool simulated = false;
    std::vector<RankTrace> ranks;
    std::vector<RankStatistics> statistics{};   // of every rank, where each has a clock; else empty
};

}  // namespace zerosim::trace
