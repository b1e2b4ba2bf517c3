// How often a job fails, and what that costs: failures of devices, checkpoints, restarts, spare nodes.
// Filled by config/ from reliability.*; read by analysis/.
// Holds no results: see analysis/reliability.hpp.
#pragma once

#include <cstdint>

namespace zerosim::cluster {

struct Reliability {
    /// Running hours of one device to a failure that ends the job. Llama 3 (arXiv 2407.21783, section 3.3.4): 419 unexpected
    /// interruptions in 54 days on 16,384 GPUs.
    double device_mtbf_hours = 54.0 * 24 * 16384 / 419;
    /// What a node writes to the checkpoint store. The same paper, section 3.3.1: 2 TB/s sustained for up to 16,384 GPUs in nodes of 8.
    double storage_bytes_per_second_per_node = 2e12 / (16384.0 / 8);
    double interval_seconds = 0;    // between checkpoints; 0 = the optimum
    /// To find the failure and start anew, without reading the checkpoint. Assumed: what MegaScale (arXiv 2402.15627) is remembered to say of
    /// finding a failure, under 10 minutes; docs/accuracy.md.
    double restart_seconds = 600;
    std::int64_t spare_nodes = -1;  // that take a failed node's place; -1 = always enough
    double repair_hours = 24;       // until a failed node is back (with spare_nodes >= 0)
};

} // namespace zerosim::cluster
