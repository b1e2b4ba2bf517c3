// What NCCL's algorithms really take: few constants per generation and kind of link, fitted to published nccl-tests sweeps.
// Read by nccl_seconds; fitted by tests/calibration/fit_collectives.cpp on tests/truth/collectives.
// Knows no cluster: rates are parts of the links' achieved rate, latencies are us or multiples of a cluster's LL hop.
#pragma once

#include "cost/nccl_topology.hpp"

namespace zerosim::cost {

/// Groups within a node. A "hop" is the latency of one LL step: `node.link-latency-microseconds`.
struct WithinNode {
    double ll_cost = 1;         // time per byte, over that of large rings
    double ll_ramp_us = 0;      // LL grows to all its channels and warps: at 64 KiB half of this, above all of it
    double ll128_start_us = 0, ll128_hop = 1, ll128_cost = 1;
    double simple_start_us = 0; // beside the launch
    double simple_hop = 1;      // pipelined: the larger of these steps and the bytes counts (root of the sum of squares)
    double copy_rate = 0;       // the kernel copies the rank's own slice too, at this part of the ring's rate; 0 = at no cost
    double all_reduce_copy = 0; // of that time, what an all-reduce takes
    double memory_us = 0, pairs_memory_us = 0, memory_bytes = 1; // Simple, all-to-all: what buffers beyond the device's cache take more, at most
    double pairs_rate = 1;      // all-to-all: of the ring's rate
    double pairs_copy = 0;      // all-to-all: the same kernels copy the own slice, at this part of the links' rate; 0 = at no cost
    double pairs_peer_us = 0, pairs_ramp_us = 0, pairs_ramp_bytes = 1; // a peer; small messages are one chunk, larger are pipelined
    double nvls_start_us = 0, nvls_ramp_us = 0, nvls_ramp_bytes = 1;   // channels grow with the message
    double nvls_rate = 0;       // message bytes/s, of the ring's rate
};

/// Groups over several nodes. "Network" is the latency of an LL step between nodes: `network.latency-microseconds`.
struct AcrossNodes {
    double lone_rate = 1;       // one rank a node: sends and receives share a device's copies
    double ring_ll_card = 1;    // LL's 8 bytes of 16 go at half the links' rate, and a card's channels send no more than these GB/s at 400 Gbit/s
    double ring_ll128_cost = 1;
    double ring_ll128_hop = 1, ring_simple_hop = 1, ring_ll128_network = 1, ring_simple_network = 1;
    double tree_rate = 1, tree_ll_cost = 1, tree_ll128_cost = 1;
    double tree_ll_ramp_network = 0; // of the tree's steps between nodes: messages of more than one LL slot, half of it at 64 KiB
    double tree_ll128_start_us = 0, tree_ll128_hop = 1, tree_ll128_network = 1;
    double tree_ramp_us = 0, tree_ramp_bytes = 1; // Simple (steps as the ring's): chunks fill the tree's pipeline
    double nvls_tree_rate = 1;  // of NCCL's estimate with achieved rates
    double nvls_tree_start_us = 0, nvls_tree_network = 0;
    double nvls_tree_ramp_us = 0, nvls_tree_ramp_network = 0, nvls_tree_ramp_bytes = 1;
};

struct NcclMeasured {
    WithinNode within;
    AcrossNodes across;
};

[[nodiscard]] const NcclMeasured& nccl_measured(const NcclTopology& topology);

} // namespace zerosim::cost
