// Sources of the sweeps: column `source` of tests/truth/collectives/sweeps.csv. Refit: tests/calibration/fit_collectives.cpp.
#include "cost/nccl_measured.hpp"

#include <array>

namespace zerosim::cost {
namespace {

// All generations over networks (EFA, InfiniBand, RoCE, GPUDirect-TCPX; 2, 4 and 20 nodes of A100, H100, H200, B200, GB200). Not fitted, since
// the sweeps do not tell them apart: hops of LL128 in trees, as the latencies of NVLink in tuning.cc (1.25 over 0.6); LL sends two
// bytes for one.
constexpr AcrossNodes kAcross{
    .lone_rate = 0.73,
    .ring_ll_card = 8.11, .ring_ll128_cost = 1.12,
    .ring_ll128_hop = 1.38, .ring_simple_hop = 9.54, .ring_ll128_network = 1.22, .ring_simple_network = 1.96,
    .tree_rate = 0.841, .tree_ll_cost = 2, .tree_ll128_cost = 1.33, .tree_ll_ramp_network = 0.767,
    .tree_ll128_start_us = 37, .tree_ll128_hop = 2.08, .tree_ll128_network = 1.56,
    .tree_ramp_us = 595, .tree_ramp_bytes = 28.9e6,
    .nvls_tree_rate = 1.03,
    .nvls_tree_start_us = 64.5, .nvls_tree_network = 0.871,
    .nvls_tree_ramp_us = 140, .nvls_tree_ramp_network = 6.77, .nvls_tree_ramp_bytes = 31e6,
};

// V100, hybrid cube mesh (nccl-tests on one node, vTrain's sweeps of 2 to 8 GPUs). All-to-all: as Ampere, not measured.
constexpr WithinNode kVolta{
    .ll_cost = 2.98, .ll_ramp_us = 10.1,
    .ll128_start_us = 6, .ll128_hop = 1.53, .ll128_cost = 1.17,
    .simple_start_us = 0, .simple_hop = 5.55, .copy_rate = 1.46, .all_reduce_copy = 0.832,
    .pairs_rate = 0.931, .pairs_copy = 4.07, .pairs_peer_us = 1.5, .pairs_ramp_us = 13.7, .pairs_ramp_bytes = 588e3,
};

// A100, NVSwitch (aiconfigurator, NCCL 2.27; vTrain; OCI).
constexpr WithinNode kAmpere{
    .ll_cost = 3.12, .ll_ramp_us = 5.16,
    .ll128_start_us = 0.0827, .ll128_hop = 2.2, .ll128_cost = 1.68,
    .simple_start_us = 9.15, .simple_hop = 12.1, .copy_rate = 2, .all_reduce_copy = 0.82,
    .memory_us = 75.7, .pairs_memory_us = 75.7, .memory_bytes = 58.3e6,
    .pairs_rate = 0.931, .pairs_copy = 4.07, .pairs_peer_us = 1.5, .pairs_ramp_us = 13.7, .pairs_ramp_bytes = 588e3,
};

// H100 and H200, NVSwitch (aiconfigurator, NCCL 2.23 and 2.29; AWS p5; stas00/ml-engineering).
constexpr WithinNode kHopper{
    .ll_cost = 2.71, .ll_ramp_us = 4.01,
    .ll128_start_us = 7.52, .ll128_hop = 1.81, .ll128_cost = 1.17,
    .simple_start_us = 10.2, .simple_hop = 5.59, .copy_rate = 2.58, .all_reduce_copy = 0.691,
    .memory_us = 62.8, .pairs_memory_us = 62.8, .memory_bytes = 102e6,
    .pairs_rate = 0.909, .pairs_copy = 20, .pairs_peer_us = 1.09, .pairs_ramp_us = 9.9, .pairs_ramp_bytes = 1.48e6,
    .nvls_start_us = 17.7, .nvls_ramp_us = 77.4, .nvls_ramp_bytes = 17.9e6, .nvls_rate = 0.718,
};

// B200, B300, GB200, GB300, NVSwitch (aiconfigurator, NCCL 2.27 and 2.29; GKE; stas00/ml-engineering). LL128: as Hopper.
constexpr WithinNode kBlackwell{
    .ll_cost = 2.92, .ll_ramp_us = 2.25,
    .ll128_start_us = 11.4, .ll128_hop = 1.57, .ll128_cost = 1.17,
    .simple_start_us = 2.15, .simple_hop = 9.54, .copy_rate = 1.48, .all_reduce_copy = 1,
    .memory_us = 4.99, .pairs_memory_us = 19.8, .memory_bytes = 38.8e6,
    .pairs_rate = 0.922, .pairs_copy = 1.1, .pairs_peer_us = 0.502, .pairs_ramp_us = 6.93, .pairs_ramp_bytes = 28.1e3,
    .nvls_start_us = 31.7, .nvls_ramp_us = 160, .nvls_ramp_bytes = 55.9e6, .nvls_rate = 0.683,
};

// L40S, RTX 4090 with and without peer access, RTX PRO 6000 on PCIe (aiconfigurator; nccl-tests of single hosts).
constexpr WithinNode kPcie{
    .ll_cost = 1.95, .ll_ramp_us = 0,
    .simple_start_us = 9.98, .simple_hop = 6.02, .copy_rate = 5.28,
    .pairs_rate = 0.8, .pairs_copy = 5.23, .pairs_peer_us = 1.52, .pairs_ramp_us = 3.36, .pairs_ramp_bytes = 11.8e3,
};

constexpr std::array<NcclMeasured, 4> kNvlink{{{kVolta, kAcross}, {kAmpere, kAcross}, {kHopper, kAcross}, {kBlackwell, kAcross}}};
constexpr NcclMeasured kOverPcie{kPcie, kAcross};

} // namespace

const NcclMeasured& nccl_measured(const NcclTopology& topology) {
    return topology.nvlink ? kNvlink[static_cast<std::size_t>(topology.generation)] : kOverPcie;
}

} // namespace zerosim::cost
