// What NCCL's search finds on a cluster for a group: channels, their speed, and the rate its rings reach.
// Called by nccl_tuning (the library's own estimate) and nccl_seconds (measured rates).
// Chooses no algorithm.
#pragma once

#include "cost/placement.hpp"

namespace zerosim::cost {

/// Bandwidths in bytes/s of one direction.
struct NcclTopology {
    std::int64_t generation = 0; // row of NCCL's tables: 0 Volta, 1 Ampere and Ada, 2 Hopper, 3 Blackwell
    bool nvlink = false;         // within a node; otherwise PCIe or the host's bridges
    bool bridged = false;        // over the host's bridges, between islands
    bool nvls = false;           // the switch adds and multicasts
    bool many_hosts = false;     // an NVLink domain of several hosts (GB200 NVL72)
    std::uint8_t algorithms = 0, protocols = 0; // allowed, a bit for each in the order of Algorithm and Protocol; 0 = all
    std::int64_t channels = 0;
    double cards = 0;            // of a node that channels use; 0 within a node
    double shares = 0;           // of a device in its node's network, that the group has on its node with the fewest devices
    double links = 0;            // of a device within the node, as NCCL counts them
    double ring = 0, tree = 0;   // all channels, as NCCL estimates them, over all nodes
    double head = 0;             // one NVLS channel
    double network = 0;          // of a device, as NCCL counts it
    double achieved_within = 0;  // large rings within a node, measured
    double achieved_links = 0;   // the same where every link of a device works: its kernels' rate
    double achieved_network = 0; // of a device, measured
};

/// Link-disjoint rings among GPUs 0 to n-1 of a hybrid cube mesh, as a part of the 6 that all 8 GPUs have.
[[nodiscard]] double cube_mesh_share(std::int64_t devices);

/// What a device sends to the next one in rank order alone, of the rate of the group's rings within a node: a switch gives it all links; direct
/// links are as many as the worst of these pairs has, one in a full mesh and in a cube mesh (0-1; 3-4 and 7-0 go by way of another GPU).
[[nodiscard]] double neighbour_part(const Placement& place, const cluster::Cluster& cluster);

/// For clusters with a tuning of NCCL's.
[[nodiscard]] NcclTopology nccl_topology(const Placement& place, const cluster::Cluster& cluster);

} // namespace zerosim::cost
