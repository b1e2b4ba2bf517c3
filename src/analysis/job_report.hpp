// What varying ranks cost a step, and what failures cost a job: data of a report.
// Part of RunReport; filled by analysis/ and cli/, rendered by report/. Fields: docs/metrics.md.
// Holds SI base units only.
#pragma once

#include <cstdint>
#include <vector>

namespace zerosim::analysis {

/// A rank that others wait for (or that waits), over one step.
struct VaryingRank {
    std::int64_t rank = 0;
    double busy = 0;                 // kernels
    double waited = 0, caused = 0;   // for later peers; mean wait of its peers where it came last
    std::int64_t last = 0;           // collectives to which it came last
};

/// A step with jitter, slow ranks or faulty links beside the same step without.
struct VariationReport {
    double step = 0, undisturbed_step = 0;
    std::int64_t ranks = 0;                    // clocks
    double mean_waited = 0, largest_waited = 0;
    double exposed_waiting = 0;                // of the traced rank where it is most: exposed communication beyond the undisturbed step's
    double shortest_busy = 0, mean_busy = 0, longest_busy = 0;
    std::vector<VaryingRank> waited_for;       // most waited for first
    std::int64_t other_algorithms = 0;         // collectives for which the library chooses otherwise on the weaker links
};

/// Seconds and shares of a long job. docs/metrics.md, Reliability.
struct ReliabilityReport {
    double mtbf = 0;
    std::int64_t checkpoint_bytes = 0;
    double checkpoint = 0, interval = 0, restart = 0;
    double checkpoint_share = 0, failure_share = 0, spare_share = 0;   // of time: writing; lost work and restarts; no spare node
    double goodput = 1;
};

}  // namespace zerosim::analysis
