// The host side of a node: what its devices share on their way to host memory and storage, and what the host computes itself.
// Filled by config/ from [node] of a cluster file; read by cost/.
// Holds rates of the whole node; the link of one device is Cluster::host_link.
#pragma once

#include <cstdint>

namespace zerosim::cluster {

struct Host {
    std::int64_t devices_per_pcie_switch = 0;   // devices behind one switch, which share its uplink; 0 = each has a link of its own
    double pcie_uplink_bytes_per_second = 0;    // of such a switch, achieved, one direction; 0 = as one device's link
    double memory_bytes_per_second = 0;         // host memory, all sockets, as streams achieve it; 0 = never the bound
    double nvme_read_bytes_per_second = 0;      // all drives of a node, achieved; 0 = no drives
    double nvme_write_bytes_per_second = 0;
    double nvme_latency_seconds = 0;
    std::int64_t threads_per_rank = 0;          // of a rank's host kernels (OMP_NUM_THREADS); 0 = as many as use the memory's rate
};

} // namespace zerosim::cluster
