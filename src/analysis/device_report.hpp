// What a run on GPUs says beside its schedule: memory by the driver's figure, and the paths that collectives took.
// Filled by cli/, part of RunReport; rendered by report/. Fields: docs/metrics.md.
// Holds figures alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace zerosim::analysis {

/// Bytes of one rank's device by the driver's figure. -1: the driver did not say.
struct DriverReport {
    std::int64_t used = 0, others = -1;                       // at the end; before the rank's context
    std::int64_t context = 0, pools = 0, communicators = 0, libraries = 0, other = 0;
    std::int64_t settled = -1, growth = 0;                    // after the second step; from then to the end
    std::int64_t of_process = -1;
    bool shared = false;                                      // with other ranks
    std::int64_t predicted_context = 0, predicted_communicator = 0;   // of the cluster at hand
};

struct TransportReport {
    std::string asked;                                        // "auto", "nvlink", ...
    struct Path {
        std::string path, via;                                // "nvlink", "P2P/CUMEM"; of a simulation the path alone
        std::int64_t ranks = 0, channels = 0;                 // that use it; of all of them
    };
    std::vector<Path> used;                                   // empty: NCCL did not say
};

}  // namespace zerosim::analysis
